import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { type Caller, type Grant, maySee } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { BrokerError } from '../errors.ts'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import type { TokenLookup } from '../tokens/lookup.ts'
import { AccountParams, IntegrationQuery } from '../tokens/schemas.ts'
import { actRoutes } from './act-routes.ts'
import type { AccountChecks } from './checks.ts'
import { pauseRoutes } from './pause-routes.ts'
import { toJson } from './schemas.ts'
import { countByStatus, findAccount, findAccounts } from './store.ts'

const PAGE = 100
const CURSOR = '^[a-z0-9][a-z0-9-]{0,62}/[0-9]{1,15}$'

const ACCESS_PROBLEMS = [
  'bad_request',
  'unauthorized',
  'forbidden',
  'too_many_requests',
  'storage_unavailable',
  'internal_error',
] as const

export interface AccountRoutesOptions {
  database: Database
  lookup: TokenLookup
  checks: AccountChecks
}

/** The state of accounts, without their tokens: of those that were granted, or of all for monitors and operators. */
export const accountRoutes: FastifyPluginAsyncTypebox<AccountRoutesOptions> = async (
  app,
  options,
) => {
  const { database, lookup } = options
  await app.register(pauseRoutes, options)
  await app.register(actRoutes, options)

  app.get('/accounts', {
    schema: {
      operationId: 'listAccounts',
      tags: ['accounts'],
      summary: 'The state of all accounts that the caller may see',
      querystring: Type.Object(
        {
          after: Type.Optional(
            Type.String({ pattern: CURSOR, description: '`next` of the page before' }),
          ),
        },
        { additionalProperties: false },
      ),
      response: {
        200: Type.Object({
          accounts: Type.Array(Type.Ref('Account')),
          next: Type.Union([Type.String(), Type.Null()]),
        }),
        ...problems(...ACCESS_PROBLEMS),
      },
    },
    handler: async (request) => {
      const [integration, accountId] = request.query.after?.split('/') ?? []
      const after =
        integration === undefined ? undefined : { integration, accountId: Number(accountId) }
      const accounts = await findAccounts(database.db, after, PAGE, grantsOf(callerOf(request)))
      const last = accounts.length === PAGE ? accounts.at(-1) : undefined
      return {
        accounts: accounts.map(toJson),
        next: last === undefined ? null : `${last.integration}/${last.accountId}`,
      }
    },
  })

  app.get('/accounts/:account', {
    schema: {
      operationId: 'showAccount',
      tags: ['accounts'],
      summary: 'The state of one account, with its last error and the remedy',
      params: AccountParams,
      querystring: IntegrationQuery,
      response: {
        200: Type.Ref('Account'),
        ...problems(...ACCESS_PROBLEMS, 'account_not_found', 'ambiguous_account', 'key_missing'),
      },
    },
    handler: async (request) => {
      const name = request.params.account.toLowerCase()
      const { integration } = request.query
      const { held } = await lookup.byName(callerOf(request), name, integration, maySee)
      auditing(request, { account: held })
      const account = await findAccount(database.db, held)
      if (account === undefined) throw new BrokerError('account_not_found', 'It was removed.')
      return toJson(account)
    },
  })

  app.get('/health/accounts', {
    schema: {
      operationId: 'accountHealth',
      tags: ['health'],
      summary: 'How many accounts are in which state, and how late their refreshes are',
      response: {
        200: Type.Object({
          accounts: Type.Array(
            Type.Object({
              integration: Type.String(),
              status: Type.String(),
              accounts: Type.Integer(),
              overdue_seconds: Type.Number(),
            }),
          ),
        }),
        ...problems(...ACCESS_PROBLEMS),
      },
    },
    handler: async (request) => {
      if (callerOf(request).role === 'reader') {
        throw new BrokerError('forbidden', 'Only monitors and operators may count accounts.')
      }
      const counts = await countByStatus(database.db)
      return {
        accounts: counts.map(({ overdueSeconds, ...count }) => ({
          ...count,
          overdue_seconds: overdueSeconds,
        })),
      }
    },
  })
}

/** Undefined: all accounts. */
function grantsOf({ role, reach }: Caller): readonly Grant[] | undefined {
  return role === 'reader' ? reach.grants : undefined
}
