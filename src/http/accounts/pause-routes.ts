import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { setPaused } from '../../accounts/store.ts'
import { AccountParams, IntegrationQuery } from '../../contract/tokens.ts'
import { Type } from '../../lib/type.ts'
import { beginAct } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, NAMED_ACCOUNT_PROBLEMS, problems } from '../problem-responses.ts'
import { getNamedAccount, showAccount } from './named-account.ts'
import type { AccountRoutesOptions } from './routes.ts'

const SUMMARIES = {
  pause: 'Stops the refreshes of an account; its present token is still served',
  resume: 'Resumes the refreshes of an account',
} as const

/**
 * Stops the refreshes of one account, for example while another service uses it, and resumes them.
 */
export const pauseRoutes: FastifyPluginAsyncTypebox<AccountRoutesOptions> = async (
  app,
  { database, lookup },
) => {
  for (const action of ['pause', 'resume'] as const) {
    app.post(`/accounts/:account/${action}`, {
      schema: {
        operationId: `${action}Account`,
        tags: ['accounts'],
        summary: SUMMARIES[action],
        params: AccountParams,
        querystring: IntegrationQuery,
        response: {
          200: Type.Ref('Account'),
          ...problems(...COMMON_PROBLEMS, ...NAMED_ACCOUNT_PROBLEMS),
        },
      },
      handler: async (request) => {
        const { integration, accountId } = await getNamedAccount(lookup, request)
        const paused = action === 'pause'
        const act = beginAct(request)
        await setPaused(database.db, { integration, accountId }, paused, act)
        const account = await showAccount(database, { integration, accountId })
        request.log.info(
          { integration, account: accountId, paused, by: callerOf(request).name },
          'account paused or resumed',
        )
        return account
      },
    })
  }
}
