import { createHmac } from 'node:crypto'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { AccountKey } from '../accounts/account-key.ts'
import { findAccount } from '../accounts/store.ts'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { Integration, Integrations } from '../integrations/service.ts'
import type { Verdict } from '../refresh/examine.ts'
import { Repeated } from '../repeated.ts'
import { equalInConstantTime, type KeyedHash } from '../vault/keyed-hash.ts'

const WORKER_INTERVAL_MS = 1_000
const BATCH = 5
const LEASE_SECONDS = 60
const RETRY_SECONDS = 10
/** A provider that cannot be asked for so long leaves the account as it is: its next refresh tells. */
const GIVE_UP_HOURS = 24
const MINUTE_MS = 60_000

/** As the provider sends it (provider page, part 8). */
export interface DisconnectHook {
  account_id: number
  client_uuid: string
  signature: string
}

interface WaitingHook extends AccountKey {
  id: string
}

export interface DisconnectDependencies {
  database: Database
  heartbeat: Heartbeat
  integrations: Integrations
  hash: KeyedHash
  owner: string
  /** The probe under the account's claim. Undefined: the account is held at this moment. */
  examine: (key: AccountKey) => Promise<Verdict | undefined>
  log: Logger
}

/**
 * Disconnect hooks. One is a request for a verdict and no proof: it carries neither time nor nonce and can be replayed for
 * ever. It goes through the inbox, at most one a minute and account; until the probe has spoken the account is served.
 */
export class DisconnectHooks {
  readonly #with: DisconnectDependencies
  readonly #worker: Repeated

  constructor(dependencies: DisconnectDependencies) {
    this.#with = dependencies
    const work = () => this.#workOff()
    this.#worker = new Repeated('disconnect hooks', WORKER_INTERVAL_MS, work, dependencies.log)
  }

  start(): void {
    this.#worker.start()
  }

  stop(): Promise<void> {
    return this.#worker.stop()
  }

  /** False: not signed by any of our integrations. Throws when the database does not take it. */
  async receive(hook: DisconnectHook): Promise<boolean> {
    const signed = this.#with.integrations.all().filter((each) => isSigned(each, hook))
    for (const { name } of signed)
      await this.#store({ integration: name, accountId: hook.account_id })
    return signed.length > 0
  }

  async #store({ integration, accountId }: AccountKey): Promise<void> {
    const { database, heartbeat, hash } = this.#with
    const minute = Math.floor(heartbeat.nowMs() / MINUTE_MS)
    const fingerprint = hash.of(JSON.stringify(['disconnect', integration, accountId, minute]))
    // Whoever has the secret of an integration, such as one that a button made, can sign for any number.
    await sql`
      insert into amo_inbox (kind, origin, integration, "accountId", fingerprint)
      select 'disconnect', 'hook', integration, "accountId", ${fingerprint} from amo_tokens
      where integration = ${integration} and "accountId" = ${accountId}
      on conflict (fingerprint) do nothing
    `.execute(database.db)
  }

  async #workOff(): Promise<void> {
    for (const hook of await this.#claim()) {
      const outcome = await this.#judge(hook)
      if (outcome === undefined) await this.#giveBack(hook)
      else await this.#finish(hook, outcome)
    }
  }

  /** How it ended; undefined: not yet. */
  async #judge(key: AccountKey): Promise<string | undefined> {
    const account = await findAccount(this.#with.database.db, key)
    const isServed = account?.status === 'active' || account?.status === 'pending'
    // In the shadow of another service, a dead pair means that it was refreshed there.
    if (!isServed || account.kind !== 'oauth' || account.shadow) return 'nothing_to_do'
    const verdict = await this.#with.examine(key)
    if (verdict === 'dead') return 'disconnected'
    return verdict === 'alive' ? 'still_connected' : undefined
  }

  async #claim(): Promise<WaitingHook[]> {
    const { rows } = await sql<WaitingHook>`
      update amo_inbox set owner = ${this.#with.owner},
        "leaseUntil" = clock_timestamp() + ${LEASE_SECONDS} * interval '1 second'
      where id in (select id from amo_inbox
        where kind = 'disconnect' and "finishedAt" is null and "nextAttemptAt" <= clock_timestamp()
          and (owner is null or "leaseUntil" < clock_timestamp())
        order by "nextAttemptAt" limit ${BATCH} for update skip locked)
      returning id, integration, "accountId"
    `.execute(this.#with.database.db)
    return rows
  }

  async #giveBack({ id }: WaitingHook): Promise<void> {
    await sql`
      update amo_inbox set owner = null, "leaseUntil" = null,
        "nextAttemptAt" = clock_timestamp() + ${RETRY_SECONDS} * interval '1 second',
        "finishedAt" = case when ${isOld} then clock_timestamp() end,
        outcome = case when ${isOld} then 'unconfirmed' end
      where id = ${id} and owner = ${this.#with.owner} and "finishedAt" is null
    `.execute(this.#with.database.db)
  }

  async #finish({ id, integration, accountId }: WaitingHook, outcome: string): Promise<void> {
    await sql`
      update amo_inbox set "finishedAt" = clock_timestamp(), outcome = ${outcome}
      where id = ${id} and owner = ${this.#with.owner} and "finishedAt" is null
    `.execute(this.#with.database.db)
    this.#with.log.info({ integration, account: accountId, outcome }, 'disconnect hook judged')
  }
}

const isOld = sql`"receivedAt" < clock_timestamp() - ${GIVE_UP_HOURS} * interval '1 hour'`

function isSigned(integration: Integration, hook: DisconnectHook): boolean {
  if (integration.clientId !== hook.client_uuid) return false
  // While a secret is being changed, the provider may sign with either.
  const secrets = [integration.clientSecret, integration.nextClientSecret ?? []].flat()
  const expected = secrets.map((secret) =>
    createHmac('sha256', secret.reveal())
      .update(`${hook.client_uuid}|${hook.account_id}`)
      .digest('hex'),
  )
  return expected.some((each) => equalInConstantTime(each, hook.signature))
}
