import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { Type } from '../../../lib/type.ts'
import { sendAccount } from './load-account.ts'
import { ACCOUNT_ROUTE, AccountPageParams, keyOf } from './paths.ts'

const TimelineQuery = Type.Object({
  failures: Type.Optional(Type.Boolean()),
  unfolded: Type.Optional(Type.Boolean()),
})

/** Shows one account. */
export const accountPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  app.get(ACCOUNT_ROUTE, {
    schema: {
      hide: true,
      operationId: 'showAccount',
      params: AccountPageParams,
      querystring: TimelineQuery,
    },
    handler: (request, reply) =>
      sendAccount(broker, request, reply, keyOf(request.params), request.query),
  })
}
