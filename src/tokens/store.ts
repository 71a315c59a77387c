import type { Selectable } from 'kysely'
import { CONDITIONS, conditionOf, MAX_ACCOUNTS_OF_NAME } from '../db/accounts-by-name.ts'
import { BatchedSelect } from '../db/batched-select.ts'
import type { Database } from '../db/database.ts'
import type { Select, Statement } from '../db/select.ts'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'

const COLUMNS = [
  'integration',
  'accountId',
  'domain',
  'apiDomain',
  'kind',
  'status',
  'accessToken',
  'generation',
  'issuedAt',
  'expiresAt',
  'refreshAt',
  'nextAttemptAt',
  'failedAttempts',
  'paused',
  'shadow',
  'accessDeadAt',
  'lastErrorCode',
] as const

/** The columns that decide about a token. `accessToken` is sealed. */
export type TokenRow = Pick<Selectable<Tables['amo_tokens']>, (typeof COLUMNS)[number]>

const SELECT = `select ${COLUMNS.map((column) => `"${column}"`).join(', ')} from amo_tokens`

const BY_KEY: Statement = {
  name: 'amo_token_by_key',
  text: `${SELECT} where integration = $1 and "accountId" = $2`,
}

const BY_IDS: Statement = {
  name: 'amo_tokens_by_id',
  text: `${SELECT} where "accountId" = any($1::bigint[])`,
}

const BY_DOMAINS: Statement = {
  name: 'amo_tokens_by_domain',
  text: `${SELECT} where domain = any($1::text[])`,
}

const BY_SUBDOMAIN: Statement = {
  name: 'amo_tokens_by_subdomain',
  text: `${SELECT} where ${CONDITIONS.subdomain} $1 limit ${MAX_ACCOUNTS_OF_NAME}`,
}

/** Reads the rows that decide about tokens. */
export class TokenRows {
  readonly #select: Select
  readonly #byId: BatchedSelect<number, TokenRow>
  readonly #byDomain: BatchedSelect<string, TokenRow>

  constructor({ select }: Database) {
    this.#select = select
    this.#byId = new BatchedSelect(select, BY_IDS, ({ accountId }) => accountId)
    this.#byDomain = new BatchedSelect(select, BY_DOMAINS, ({ domain }) => domain)
  }

  /** Returns the accounts of all integrations that a name fits. */
  async byName(name: string): Promise<TokenRow[]> {
    const condition = conditionOf(name)
    if (condition === undefined) return []
    const { kind, value } = condition
    if (kind === 'id') return this.#byId.find(value)
    if (kind === 'domain') return this.#byDomain.find(value)
    return this.#select<TokenRow>(BY_SUBDOMAIN, [value])
  }

  /** Returns one account's row, or none. */
  byKey({ integration, accountId }: AccountKey): Promise<TokenRow[]> {
    return this.#select<TokenRow>(BY_KEY, [integration, accountId])
  }
}
