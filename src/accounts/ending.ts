import { type RawBuilder, sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import { Repeated } from '../repeated.ts'
import { type AccountKey, keyText } from './account-key.ts'
import type { AccountState } from './store.ts'

/** Long enough for a person to be found who may consent, or make a new token. */
const ENDING_DAYS = 14
const DAY_MS = 24 * 3600 * 1000
/** Each look reads all accounts; an end comes in days. */
const INTERVAL_MS = 600_000
const BATCH = 200

const ENDINGS = {
  refresh_token_ends_soon: {
    problem:
      'The refresh token nears its three months without having been used: refreshes do not happen.',
    remedy:
      'See last_error, resume the account or its integration, or let an administrator consent again (POST /connect-links).',
  },
  long_lived_token_ends_soon: {
    problem: 'The long-lived token nears its end, and cannot be refreshed.',
    remedy:
      'Make a new one in the integration’s settings and import it with If-Match (POST /accounts/import).',
  },
} as const

export type EndingCode = keyof typeof ENDINGS

export interface Ending {
  code: EndingCode
  at: Date
  problem: string
  remedy: string
}

/** What will stop an account for good unless somebody acts. A shadow's pair is kept alive elsewhere. */
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

/** The same, for the database. */
const isEnding: RawBuilder<boolean> = sql`not shadow and status in ('active', 'pending')
  and case when kind = 'long_lived' then "expiresAt" else "refreshTokenExpiresAt" end
    < clock_timestamp() + ${ENDING_DAYS} * interval '1 day'`

export interface EndingCount {
  integration: string
  kind: string
  accounts: number
}

interface EndingRow extends AccountKey {
  kind: 'oauth' | 'long_lived'
  generation: number
  endsAt: Date
}

/** Counts the accounts that near their end, and names each in the log once a process and token. */
export class EndingWatch {
  readonly #database: Database
  readonly #log: Logger
  readonly #look: Repeated
  readonly #told = new Set<string>()
  /** Of the last look, for the metric. */
  counts: readonly EndingCount[] = []

  constructor(database: Database, log: Logger) {
    this.#database = database
    this.#log = log
    this.#look = new Repeated('tokens that end', INTERVAL_MS, () => this.#run(), log)
  }

  start(): void {
    this.#look.start()
  }

  stop(): Promise<void> {
    return this.#look.stop()
  }

  async #run(): Promise<void> {
    await this.#count()
    const { rows } = await sql<EndingRow>`
      select integration, "accountId", kind, generation,
        case when kind = 'long_lived' then "expiresAt" else "refreshTokenExpiresAt" end as "endsAt"
      from amo_tokens where ${isEnding} order by "endsAt" limit ${BATCH}
    `.execute(this.#database.db)
    for (const row of rows) {
      const name = `${keyText(row)}/${row.generation}`
      if (this.#told.has(name)) continue
      this.#told.add(name)
      const { integration, accountId: account, kind, endsAt } = row
      this.#log.warn({ integration, account, kind, endsAt }, 'token ends soon')
    }
  }

  async #count(): Promise<void> {
    const { rows } = await sql<EndingCount>`
      select integration, kind, count(*) filter (where ${isEnding})::int as accounts
      from amo_tokens group by integration, kind
    `.execute(this.#database.db)
    this.counts = rows
  }
}
