import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Static } from 'typebox'
import { findAccounts } from '../../accounts/list.ts'
import type { AccountFilter } from '../../accounts/list-keys.ts'
import { type Caller, maySee } from '../../clients/caller.ts'
import { AccountPageSchema, ListAccountsQuery } from '../../contract/accounts.ts'
import { AccountParams, IntegrationQuery } from '../../contract/tokens.ts'
import type { Database } from '../../db/database.ts'
import type { Grant } from '../../db/tables/access.ts'
import { Type } from '../../lib/type.ts'
import type { TokenLookup } from '../../tokens/lookup.ts'
import { callerOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, NAMED_ACCOUNT_PROBLEMS, problems } from '../problem-responses.ts'
import { cursorOf, positionOf } from './cursor.ts'
import { getNamedAccount, showAccount } from './named-account.ts'
import { accountToJson } from './to-json.ts'

const PAGE = 100

export interface AccountRoutesOptions {
  database: Database
  lookup: TokenLookup
}

/** Shows the state of accounts: to readers those of their grants, to monitors and operators all. */
export const accountRoutes: FastifyPluginAsyncTypebox<AccountRoutesOptions> = async (
  app,
  { database, lookup },
) => {
  app.get('/accounts', {
    schema: {
      operationId: 'listAccounts',
      tags: ['accounts'],
      summary: 'Returns the state of the accounts that the caller may see',
      description:
        'Filters can be combined. A page is read from indexes and costs the same however many accounts there are.',
      querystring: ListAccountsQuery,
      response: { 200: AccountPageSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async (request) => {
      const { query } = request
      const filter = { ...filterOf(query), q: query.q, grants: grantsOf(callerOf(request)) }
      const page = await findAccounts(database.db, filter, query.limit ?? PAGE)
      return {
        accounts: page.accounts.map(accountToJson),
        next: page.next === undefined ? null : cursorOf(page.next, query.order),
      }
    },
  })

  app.get('/accounts/:account', {
    schema: {
      operationId: 'showAccount',
      tags: ['accounts'],
      summary: 'Returns the state of one account, with its last error and the remedy',
      params: AccountParams,
      querystring: IntegrationQuery,
      response: {
        200: Type.Ref('Account'),
        ...problems(...COMMON_PROBLEMS, ...NAMED_ACCOUNT_PROBLEMS),
      },
    },
    handler: async (request) =>
      showAccount(database, await getNamedAccount(lookup, request, maySee)),
  })
}

function filterOf(query: Static<typeof ListAccountsQuery>): AccountFilter {
  const { status, integration, error, warning, shadow, paused, order, after } = query
  return {
    ...{ status, integration, error, warning, order },
    isShadow: shadow,
    isPaused: paused,
    after: after === undefined ? undefined : positionOf(after, order),
  }
}

/** @returns undefined when the caller may see all accounts */
function grantsOf({ role, reach }: Caller): readonly Grant[] | undefined {
  return role === 'reader' ? reach.grants : undefined
}
