import { type RawBuilder, sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import type { AccountState } from './store.ts'

/** Long enough to find a person who may consent, or create a new token. */
const ENDING_DAYS = 14
const DAY_MS = 24 * 3600 * 1000
/** Expiry dates are days away. */
const INTERVAL_MS = 600_000
const BATCH = 200

/** Problem and remedy of each kind of token that ends, by its code. */
export const ENDINGS = {
  refresh_token_ends_soon: {
    problem: 'The refresh token has not been used for almost three months, after which it expires.',
    remedy:
      'Look at last_error, resume the account or its integration, or let an administrator consent again (POST /connect-links).',
  },
  long_lived_token_ends_soon: {
    problem: 'The long-lived token expires soon and cannot be refreshed.',
    remedy:
      'Create a new one in the settings of the integration and import it with If-Match (POST /accounts/import).',
  },
} as const

export const ENDING_CODES = ['refresh_token_ends_soon', 'long_lived_token_ends_soon'] as const
export type EndingCode = (typeof ENDING_CODES)[number]

interface Ending {
  code: EndingCode
  at: Date
  problem: string
  remedy: string
}

/**
 * Returns what will stop the account for good unless somebody acts. A shadow has none, because
 * another service keeps its pair alive.
 */
export function endingOf(
  account: Pick<AccountState, 'kind' | 'status' | 'shadow' | 'expiresAt' | 'refreshTokenExpiresAt'>,
  nowMs: number,
): Ending | undefined {
  const { kind, status, shadow, expiresAt, refreshTokenExpiresAt } = account
  if (shadow || status === 'disconnected' || status === 'reauth_required') return undefined
  const isLongLived = kind === 'long_lived'
  const at = isLongLived ? expiresAt : refreshTokenExpiresAt
  if (at === null || at.getTime() - nowMs > ENDING_DAYS * DAY_MS) return undefined
  const code = isLongLived ? 'long_lived_token_ends_soon' : 'refresh_token_ends_soon'
  return { code, at, ...ENDINGS[code] }
}

/**
 * The conditions of `endingOf` for account `t`, in the form of their indexes. An index takes no
 * `clock_timestamp()`.
 */
const ENDS: Record<EndingCode, RawBuilder<boolean>> = {
  refresh_token_ends_soon: endsSoon('oauth', sql`t."refreshTokenExpiresAt"`),
  long_lived_token_ends_soon: endsSoon('long_lived', sql`t."expiresAt"`),
}

function endsSoon(kind: string, endsAt: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql<boolean>`t.kind = ${sql.lit(kind)} and t.status in ('active', 'pending') and not t.shadow
    and ${endsAt} <= now() + ${ENDING_DAYS} * interval '1 day'`
}

/** Selects the keys of the accounts with a warning. */
export function endingKeys(code: EndingCode | 'any'): RawBuilder<unknown> {
  const conditions = code === 'any' ? Object.values(ENDS) : [ENDS[code]]
  return sql.join(
    conditions.map((is) => sql`select t.integration, t."accountId" from amo_tokens t where ${is}`),
    sql` union all `,
  )
}

interface EndingCount {
  integration: string
  kind: string
  accounts: number
}

interface EndingRow extends AccountKey {
  kind: 'oauth' | 'long_lived'
  generation: number
  endsAt: Date
}

/** Counts the accounts whose token ends soon, and logs each token once per process. */
export class ExpiryWatch implements PeriodicWork {
  readonly name = 'tokens that end'
  readonly intervalMs = INTERVAL_MS
  readonly #database: Database
  readonly #log: Logger
  readonly #logged = new Set<string>()
  /** Counts of the last run. The metric shows them. */
  counts: readonly EndingCount[] = []

  constructor(database: Database, log: Logger) {
    this.#database = database
    this.#log = log
  }

  async run(): Promise<void> {
    await this.#count()
    const { rows } = await sql<EndingRow>`
      select integration, "accountId", kind, generation,
        case when kind = 'long_lived' then "expiresAt" else "refreshTokenExpiresAt" end as "endsAt"
      from (${endingKeys('any')}) k join amo_tokens t using (integration, "accountId")
      order by "endsAt" limit ${BATCH}
    `.execute(this.#database.db)
    for (const row of rows) {
      const name = `${keyText(row)}/${row.generation}`
      if (this.#logged.has(name)) continue
      this.#logged.add(name)
      const { integration, accountId: account, kind, endsAt } = row
      this.#log.warn({ integration, account, kind, endsAt }, 'token ends soon')
    }
  }

  async #count(): Promise<void> {
    const { rows } = await sql<EndingCount>`
      select i.name as integration, kinds.kind, count(t.kind)::int as accounts
      from amo_integrations i cross join (values ('oauth'), ('long_lived')) kinds(kind)
      left join (
        select t.integration, t.kind from (${endingKeys('any')}) k
        join amo_tokens t using (integration, "accountId")
      ) t on t.integration = i.name and t.kind = kinds.kind
      group by i.name, kinds.kind
    `.execute(this.#database.db)
    this.counts = rows
  }
}
