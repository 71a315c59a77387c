import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { requireOperator } from '../clients/caller.ts'
import { BrokerError } from '../errors.ts'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import { AccountParams, IntegrationQuery } from '../tokens/schemas.ts'
import type { AccountRoutesOptions } from './routes.ts'
import { toJson } from './schemas.ts'
import { findAccount, setPaused } from './store.ts'

/** Operators stop the refreshes of one account, such as while another service has it, and let them go on. */
export const pauseRoutes: FastifyPluginAsyncTypebox<AccountRoutesOptions> = async (
  app,
  { database, lookup },
) => {
  for (const [action, paused] of [
    ['pause', true],
    ['resume', false],
  ] as const) {
    app.post(`/accounts/:account/${action}`, {
      schema: {
        operationId: `${action}Account`,
        tags: ['accounts'],
        summary: paused
          ? 'Serves what the account has and does not refresh it'
          : 'Refreshes the account again',
        params: AccountParams,
        querystring: IntegrationQuery,
        response: {
          200: Type.Ref('Account'),
          ...problems(
            'bad_request',
            'unauthorized',
            'forbidden',
            'account_not_found',
            'ambiguous_account',
            'too_many_requests',
            'key_missing',
            'storage_unavailable',
            'internal_error',
          ),
        },
      },
      handler: async (request) => {
        const caller = callerOf(request)
        requireOperator(caller, `${action} accounts`)
        const name = request.params.account.toLowerCase()
        const { held } = await lookup.byName(caller, name, request.query.integration)
        auditing(request, { account: held })
        await setPaused(database.db, held, paused)
        const account = await findAccount(database.db, held)
        if (account === undefined) throw new BrokerError('account_not_found', 'It was removed.')
        const { integration, accountId } = account
        request.log.info(
          { integration, account: accountId, paused, by: caller.name },
          'account paused or resumed',
        )
        return toJson(account)
      },
    })
  }
}
