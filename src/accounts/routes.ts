import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from 'typebox'
import { type Caller, type Grant, maySee } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { BrokerError } from '../errors.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import { explainFailure } from '../refresh/failures.ts'
import type { TokenLookup } from '../tokens/lookup.ts'
import { AccountParams, IntegrationQuery } from '../tokens/schemas.ts'
import { type AccountState, countByStatus, findAccount, findAccounts } from './store.ts'

const PAGE = 100
const CURSOR = '^[a-z0-9][a-z0-9-]{0,62}/[0-9]{1,15}$'

const Time = Type.Union([Type.String({ format: 'date-time' }), Type.Null()])

const AccountSchema = Type.Object(
  {
    account_id: Type.Integer(),
    integration: Type.String(),
    domain: Type.Union([Type.String(), Type.Null()]),
    kind: Type.Enum(['oauth', 'long_lived']),
    status: Type.Enum(['pending', 'active', 'reauth_required', 'disconnected']),
    paused: Type.Boolean(),
    generation: Type.Integer(),
    expires_at: Time,
    refresh_at: Time,
    next_attempt_at: Time,
    refresh_token_expires_at: Time,
    last_refresh_at: Time,
    failed_attempts: Type.Integer(),
    last_error: Type.Union([
      Type.Object({ code: Type.String(), at: Time, problem: Type.String(), remedy: Type.String() }),
      Type.Null(),
    ]),
    created_at: Time,
  },
  { $id: 'Account' },
)

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
}

/** The state of accounts, without their tokens: of those that were granted, or of all for monitors and operators. */
export const accountRoutes: FastifyPluginAsyncTypebox<AccountRoutesOptions> = async (
  app,
  { database, lookup },
) => {
  app.addSchema(AccountSchema)

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

function toJson(account: AccountState): Static<typeof AccountSchema> {
  const time = (date: Date | null) => date?.toISOString() ?? null
  const { lastErrorCode, lastErrorAt } = account
  return {
    account_id: account.accountId,
    integration: account.integration,
    domain: account.domain,
    kind: account.kind,
    status: account.status,
    paused: account.paused,
    generation: account.generation,
    expires_at: time(account.expiresAt),
    refresh_at: time(account.refreshAt),
    next_attempt_at: time(account.nextAttemptAt),
    refresh_token_expires_at: time(account.refreshTokenExpiresAt),
    last_refresh_at: time(account.lastRefreshAt),
    failed_attempts: account.failedAttempts,
    last_error:
      lastErrorCode === null
        ? null
        : { code: lastErrorCode, at: time(lastErrorAt), ...explainFailure(lastErrorCode) },
    created_at: time(account.createdAt),
  }
}
