import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { cleanUp, countLeftOver, findLeftOver } from '../../accounts/clean-up.ts'
import {
  CleanedUpSchema,
  CleanUpBody,
  CleanUpListSchema,
  CleanUpQuery,
} from '../../contract/account-history.ts'
import type { Database } from '../../db/database.ts'
import { type AccountKey, keyText } from '../../lib/account-key.ts'
import { beginAct } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { accountToJson } from './to-json.ts'

const PAGE = 200

/**
 * Lists and removes accounts that have had no use for long. Nothing is removed without a request.
 */
export const cleanUpRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (
  app,
  { database },
) => {
  app.get('/clean-up', {
    schema: {
      operationId: 'listCleanUp',
      tags: ['accounts'],
      summary: 'Returns the accounts that a clean-up would remove; removes nothing',
      description:
        'Accounts that have been reauth_required or disconnected for longer than older_than_days, and pending ones that nobody has approved for as long.',
      querystring: CleanUpQuery,
      response: { 200: CleanUpListSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async (request) => {
      const { older_than_days: days } = request.query
      const accounts = await findLeftOver(database.db, days, PAGE)
      const total =
        accounts.length < PAGE ? accounts.length : await countLeftOver(database.db, days)
      return { total, accounts: accounts.map(accountToJson) }
    },
  })

  app.post('/clean-up', {
    schema: {
      operationId: 'cleanUp',
      tags: ['accounts'],
      summary:
        'Removes accounts that GET /clean-up has listed and that still are as it listed them',
      body: CleanUpBody,
      response: { 200: CleanedUpSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async (request) => {
      const { older_than_days: days, accounts } = request.body
      const keys = accounts.map((each) => ({
        integration: each.integration,
        accountId: each.account_id,
      }))
      const removed = await cleanUp(database, keys, days, beginAct(request))
      const gone = new Set(removed.map(keyText))
      request.log.warn(
        { accounts: removed.length, by: callerOf(request).name },
        'accounts cleaned up',
      )
      const left = keys.filter((key) => !gone.has(keyText(key)))
      return { removed: removed.map(keyToJson), left: left.map(keyToJson) }
    },
  })
}

function keyToJson({ integration, accountId }: AccountKey) {
  return { integration, account_id: accountId }
}
