import type { FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { findAccount } from '../../accounts/store.ts'
import { mayRead } from '../../clients/caller.ts'
import type { AccountSchema } from '../../contract/accounts.ts'
import type { AccountParams, IntegrationQuery } from '../../contract/tokens.ts'
import type { Database } from '../../db/database.ts'
import type { AccountKey } from '../../lib/account-key.ts'
import { BrokerError } from '../../lib/errors.ts'
import type { CachedToken } from '../../tokens/cached-token.ts'
import type { TokenLookup } from '../../tokens/lookup.ts'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { accountToJson } from './to-json.ts'

type NamedRequest = FastifyRequest<{
  Params: Static<typeof AccountParams>
  Querystring: Static<typeof IntegrationQuery>
}>

/**
 * Returns the account that the path names, among those that `may` allows, and names it in the
 * audit.
 * Throws what `TokenLookup.byName` throws.
 */
export async function getNamedAccount(
  lookup: TokenLookup,
  request: NamedRequest,
  may = mayRead,
): Promise<CachedToken> {
  const name = request.params.account.toLowerCase()
  const { integration } = request.query
  const { token } = await lookup.byName(callerOf(request), name, integration, may)
  auditing(request, { account: token })
  return token
}

/** Returns the state of an account for a response. Throws `account_not_found`. */
export async function showAccount(
  { db }: Database,
  key: AccountKey,
): Promise<Static<typeof AccountSchema>> {
  const account = await findAccount(db, key)
  if (account === undefined) throw new BrokerError('account_not_found', 'It was removed.')
  return accountToJson(account)
}
