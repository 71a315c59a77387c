import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { setLabel } from '../../accounts/store.ts'
import { LabelBody } from '../../contract/accounts.ts'
import { AccountParams, IntegrationQuery } from '../../contract/tokens.ts'
import { Type } from '../../lib/type.ts'
import { beginAct } from '../plugins/audit.ts'
import { COMMON_PROBLEMS, NAMED_ACCOUNT_PROBLEMS, problems } from '../problem-responses.ts'
import { getNamedAccount, showAccount } from './named-account.ts'
import type { AccountRoutesOptions } from './routes.ts'

/** Names accounts for operators. */
export const labelRoutes: FastifyPluginAsyncTypebox<AccountRoutesOptions> = async (
  app,
  { database, lookup },
) => {
  app.patch('/accounts/:account', {
    schema: {
      operationId: 'labelAccount',
      tags: ['accounts'],
      summary: 'Sets the label of an account, such as the name of the customer',
      params: AccountParams,
      querystring: IntegrationQuery,
      body: LabelBody,
      response: {
        200: Type.Ref('Account'),
        ...problems(...COMMON_PROBLEMS, ...NAMED_ACCOUNT_PROBLEMS),
      },
    },
    handler: async (request) => {
      const account = await getNamedAccount(lookup, request)
      await setLabel(database.db, account, request.body.label, beginAct(request))
      return showAccount(database, account)
    },
  })
}
