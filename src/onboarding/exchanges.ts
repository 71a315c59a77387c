import { type Selectable, sql } from 'kysely'
import type { Logger } from 'pino'
import type { Act } from '../audit/act.ts'
import { mintExchangeState } from '../connect-links/state.ts'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import type { Integrations } from '../integrations/directory.ts'
import { BrokerError } from '../lib/errors.ts'
import {
  EXCHANGE_REFUSALS,
  type ExchangeAnswer,
  type ExchangeRefusal,
  exchangeApiKey,
} from '../provider/exchange-api-key.ts'
import { typedHost } from '../provider/profiles.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'
import type { ExchangeOutcome, OnOnboardingEnd } from './outcomes.ts'

/** The provider's limit for one user and integration (docs/provider.md, part 6). */
const PAUSE_SECONDS = 300
/** The life of a code. A code that has not arrived by then does not arrive. */
const CODE_LIFETIME_SECONDS = 20 * 60

interface ExchangeOrder {
  integration: string
  domain: string
  login: string
  apiKey: Secret
  createdBy: string
}

/** An exchange and its state. */
export interface Exchange
  extends Pick<Selectable<Tables['amo_exchanges']>, 'id' | 'integration' | 'domain' | 'createdAt'> {
  /** Null: the code has not arrived yet, or is being exchanged. */
  outcome: string | null
  inboxId: string | null
  accountId: number | null
}

interface ExchangesDependencies {
  database: Database
  integrations: Integrations
  hash: KeyedHash
  states: KeyedHash
  log: Logger
  /** Called with why no code will arrive. */
  onEnd: OnOnboardingEnd
}

/**
 * Exchanges a login and API key for a code, which the provider's server sends to the callback (the
 * amoCRM guide's alternative to consent). The login is stored as a keyed hash, the API key is not
 * stored.
 */
export class Exchanges {
  readonly #with: ExchangesDependencies

  constructor(dependencies: ExchangesDependencies) {
    this.#with = dependencies
  }

  /**
   * Presents the API key. The exchange is stored first, because the code may arrive before the
   * response. Throws `integration_not_found`, `bad_request`, `exchange_too_soon`,
   * `exchange_refused`, `provider_unavailable`.
   */
  async begin(order: ExchangeOrder, act: Act): Promise<Exchange> {
    const integration = await this.#with.integrations.load(order.integration)
    const domain = typedHost(integration.profile, order.domain)
    if (domain === undefined) {
      throw new BrokerError('bad_request', 'domain: it is no account host of the platform.')
    }
    const id = await this.#insert({ ...order, domain }, act)
    const state = mintExchangeState(this.#with.states, id)
    const answer = await exchangeApiKey(integration, domain, order, state)
    const { kind } = answer
    this.#with.log.info({ integration: integration.name, exchange: id, kind }, 'API key presented')
    await this.#recordResult(id, answer)
    const exchange = await this.find(id)
    if (exchange === undefined) throw new Error('the exchange was deleted')
    return exchange
  }

  async find(id: string): Promise<Exchange | undefined> {
    const { rows } = await sql<Exchange>`
      select e.id, e.integration, e.domain, e."createdAt", i.id as "inboxId", i."accountId",
        case when e.outcome is not null then e.outcome when i.id is not null then i.outcome
          when e."createdAt" < clock_timestamp() - ${CODE_LIFETIME_SECONDS} * interval '1 second'
          then 'no_callback' end as outcome
      from amo_exchanges e left join amo_inbox i on i."exchangeId" = e.id where e.id = ${id}
    `.execute(this.#with.database.db)
    return rows[0]
  }

  /** Stores an exchange. The lock orders two of one user at the same time. */
  #insert(order: ExchangeOrder, act: Act): Promise<string> {
    const { integration, domain, login, createdBy } = order
    const userHash = this.#with.hash.of(JSON.stringify([integration, domain, login.toLowerCase()]))
    return this.#with.database.db.transaction().execute(async (trx) => {
      await sql`select pg_advisory_xact_lock(hashtextextended(${userHash}, 0))`.execute(trx)
      const { rows } = await sql<{ leftSeconds: number }>`
        select ceil(${PAUSE_SECONDS} - extract(epoch from clock_timestamp() - max("createdAt")))::int as "leftSeconds"
        from amo_exchanges where "userHash" = ${userHash} and outcome is null
          and "createdAt" > clock_timestamp() - ${PAUSE_SECONDS} * interval '1 second'
      `.execute(trx)
      const leftSeconds = rows[0]?.leftSeconds ?? 0
      if (leftSeconds > 0) throw tooSoon(leftSeconds)
      const { id } = await trx
        .insertInto('amo_exchanges')
        .values({ integration, domain, userHash, createdBy })
        .returning('id')
        .executeTakeFirstOrThrow()
      await act.record(trx)
      return id
    })
  }

  async #recordResult(id: string, answer: ExchangeAnswer): Promise<void> {
    if (answer.kind === 'accepted' || answer.kind === 'unclear') return
    const outcome: ExchangeOutcome = answer.kind === 'refused' ? answer.code : answer.kind
    await this.#with.database.db
      .updateTable('amo_exchanges')
      .set({ outcome, finishedAt: sql<Date>`clock_timestamp()` })
      .where('id', '=', id)
      .execute()
    this.#with.onEnd(outcome)
    if (answer.kind === 'refused') throw refused(answer.code)
    if (answer.kind === 'too_soon') throw tooSoon(answer.retryAfterSeconds ?? PAUSE_SECONDS)
    const detail = `The account’s host could not be reached (${answer.failure}).`
    throw new BrokerError('provider_unavailable', detail, { retryAfterSeconds: 5 })
  }
}

function tooSoon(retryAfterSeconds: number): BrokerError {
  const detail = `The next exchange for this user is possible in ${retryAfterSeconds} seconds.`
  return new BrokerError('exchange_too_soon', detail, { retryAfterSeconds })
}

function refused(code: ExchangeRefusal): BrokerError {
  const { problem, remedy } = EXCHANGE_REFUSALS[code]
  return new BrokerError('exchange_refused', problem, { members: { outcome: code, remedy } })
}
