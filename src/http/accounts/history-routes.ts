import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { findAttempts } from '../../accounts/attempts.ts'
import { findReaders } from '../../accounts/readers.ts'
import { findAccount } from '../../accounts/store.ts'
import { maySee } from '../../clients/caller.ts'
import { AttemptsQuery, AttemptsSchema, ReadersSchema } from '../../contract/account-history.ts'
import { AccountParams, IntegrationQuery } from '../../contract/tokens.ts'
import { COMMON_PROBLEMS, NAMED_ACCOUNT_PROBLEMS, problems } from '../problem-responses.ts'
import { attemptToJson } from './history-to-json.ts'
import { getNamedAccount } from './named-account.ts'
import type { AccountRoutesOptions } from './routes.ts'

const PROBLEMS = [...COMMON_PROBLEMS, ...NAMED_ACCOUNT_PROBLEMS] as const
const PAGE = 50

/** Shows the refresh attempts of an account. */
export const attemptRoutes: FastifyPluginAsyncTypebox<AccountRoutesOptions> = async (
  app,
  { database, lookup },
) => {
  app.get('/accounts/:account/attempts', {
    schema: {
      operationId: 'listAttempts',
      tags: ['accounts'],
      summary: 'Returns the refresh attempts of an account, with what happened in each',
      params: AccountParams,
      querystring: AttemptsQuery,
      response: { 200: AttemptsSchema, ...problems(...PROBLEMS) },
    },
    handler: async (request) => {
      const key = await getNamedAccount(lookup, request, maySee)
      const { before, failures, limit = PAGE } = request.query
      const attempts = await findAttempts(database.db, key, { before, failures }, limit)
      const next = attempts.length === limit ? (attempts.at(-1)?.id ?? null) : null
      return { attempts: attempts.map(attemptToJson), next }
    },
  })
}

/** Shows who reads an account. */
export const readerRoutes: FastifyPluginAsyncTypebox<AccountRoutesOptions> = async (
  app,
  { database, lookup },
) => {
  app.get('/accounts/:account/readers', {
    schema: {
      operationId: 'listReaders',
      tags: ['accounts'],
      summary: 'Returns the clients that have read the token of an account in the last week',
      params: AccountParams,
      querystring: IntegrationQuery,
      response: { 200: ReadersSchema, ...problems(...PROBLEMS) },
    },
    handler: async (request) => {
      const key = await getNamedAccount(lookup, request)
      const [readers, account] = await Promise.all([
        findReaders(database.db, key),
        findAccount(database.db, key),
      ])
      return {
        readers: readers.map(({ client, lastReadAt }) => ({
          client,
          last_read_at: lastReadAt.toISOString(),
        })),
        last_read_at: account?.lastReadAt?.toISOString() ?? null,
      }
    },
  })
}
