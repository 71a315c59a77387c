import type { AccountKey } from '../../lib/account-key.ts'

/** Returns the path of an account's page, or of a page below it. */
export function accountPath({ integration, accountId }: AccountKey, below = ''): string {
  return `/console/accounts/${encodeURIComponent(integration)}/${accountId}${below}`
}
