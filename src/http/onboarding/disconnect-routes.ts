import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AcceptedSchema } from '../../contract/connect-links.ts'
import { DisconnectQuery } from '../../contract/onboarding.ts'
import { BrokerError } from '../../lib/errors.ts'
import type { DisconnectHooks } from '../../onboarding/disconnect.ts'
import { createAddressLimit, requireWithin } from '../plugins/rate-limit.ts'
import { problems } from '../problem-responses.ts'
import { MAX_UNPROVEN } from './server-calls.ts'

/** Public: the provider's server reports that an account removed the integration. */
export const disconnectRoutes: FastifyPluginAsyncTypebox<{ hooks: DisconnectHooks }> = async (
  app,
  { hooks },
) => {
  const unproven = await createAddressLimit(app, MAX_UNPROVEN, null)

  app.get('/hooks/disconnect', {
    schema: {
      operationId: 'disconnectHook',
      tags: ['onboarding'],
      summary:
        'Reports that an account removed the integration; the broker then checks the account itself',
      querystring: DisconnectQuery,
      response: {
        200: AcceptedSchema,
        ...problems(
          'bad_request',
          'forbidden',
          'too_many_requests',
          'storage_unavailable',
          'internal_error',
        ),
      },
    },
    handler: async (request) => {
      const isSigned = await hooks.receive(request.query)
      if (!isSigned) {
        requireWithin(await unproven(request), 'Too many unsigned hooks from this address.')
        throw new BrokerError('forbidden', 'The signature is wrong.')
      }
      return { status: 'accepted' as const }
    },
  })
}
