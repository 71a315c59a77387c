import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BrokerError } from '../errors.ts'
import { problems } from '../plugins/problems.ts'
import type { DisconnectHooks } from './disconnect.ts'

/** Public: the provider's server says that an account removed the integration. */
export const disconnectRoutes: FastifyPluginAsyncTypebox<{ hooks: DisconnectHooks }> = async (
  app,
  { hooks },
) => {
  app.get('/hooks/disconnect', {
    schema: {
      operationId: 'disconnectHook',
      tags: ['onboarding'],
      summary:
        'The integration was removed from an account: asks for a verdict, and proves nothing',
      querystring: Type.Object({
        account_id: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
        client_uuid: Type.String({ minLength: 1, maxLength: 100 }),
        signature: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'HMAC-SHA256, hex' }),
      }),
      response: {
        200: Type.Object({ status: Type.Literal('accepted') }),
        ...problems('bad_request', 'forbidden', 'storage_unavailable', 'internal_error'),
      },
    },
    handler: async (request) => {
      const isSigned = await hooks.receive(request.query)
      if (!isSigned) throw new BrokerError('forbidden', 'The signature does not fit.')
      return { status: 'accepted' as const }
    },
  })
}
