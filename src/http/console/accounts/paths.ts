import { IntegrationField } from '../../../contract/fields.ts'
import type { AccountKey } from '../../../lib/account-key.ts'
import { Type } from '../../../lib/type.ts'

export const ACCOUNTS_PATH = '/console/accounts'
export const CLEAN_PATH = '/console/clean'

/** The parameters of the page of one account. */
export const ACCOUNT_ROUTE = `${ACCOUNTS_PATH}/:integration/:account`
export const AccountPageParams = Type.Object({
  integration: IntegrationField,
  account: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
})

/** Returns the account that the path of a request names. */
export function keyOf({
  integration,
  account,
}: {
  integration: string
  account: number
}): AccountKey {
  return { integration, accountId: account }
}
