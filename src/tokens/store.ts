import type { Kysely } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import type { AccountStatus, Tables } from '../db/tables.ts'

/** What a token's answer is made of; `accessToken` sealed. */
export interface TokenRow extends AccountKey {
  domain: string | null
  apiDomain: string | null
  kind: 'oauth' | 'long_lived'
  status: AccountStatus
  accessToken: string
  generation: number
  expiresAt: Date
  refreshAt: Date | null
  nextAttemptAt: Date | null
  failedAttempts: number
  paused: boolean
  /** Another service still refreshes it, and may replace the token at any moment. */
  shadow: boolean
  accessDeadAt: Date | null
  lastErrorCode: string | null
}

const COLUMNS = [
  'integration',
  'accountId',
  'domain',
  'apiDomain',
  'kind',
  'status',
  'accessToken',
  'generation',
  'expiresAt',
  'refreshAt',
  'nextAttemptAt',
  'failedAttempts',
  'paused',
  'shadow',
  'accessDeadAt',
  'lastErrorCode',
] as const

/** Far more than integrations that one name could fit. */
const MAX_FITS = 20

/**
 * The accounts that a name fits, of all integrations: all digits are an account id, a dot makes it a domain, anything
 * else is a subdomain.
 */
export async function findByName(db: Kysely<Tables>, name: string): Promise<TokenRow[]> {
  const query = db.selectFrom('amo_tokens').select(COLUMNS).limit(MAX_FITS)
  if (/^\d+$/.test(name)) {
    const accountId = Number(name)
    return Number.isSafeInteger(accountId) ? query.where('accountId', '=', accountId).execute() : []
  }
  if (name.includes('.')) return query.where('domain', '=', name).execute()
  return query.where('domain', 'like', `${name}.%`).execute()
}

export function findToken(db: Kysely<Tables>, key: AccountKey): Promise<TokenRow | undefined> {
  return db
    .selectFrom('amo_tokens')
    .select(COLUMNS)
    .where('integration', '=', key.integration)
    .where('accountId', '=', key.accountId)
    .executeTakeFirst()
}
