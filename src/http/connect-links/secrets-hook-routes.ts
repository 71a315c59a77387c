import formbody from '@fastify/formbody'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import {
  createExternalIntegration,
  type ExternalIntegrationResult,
  type ExternalIntegrationsDependencies,
} from '../../connect-links/external-integrations.ts'
import { AcceptedSchema, SecretsHookBody } from '../../contract/connect-links.ts'
import { BrokerError } from '../../lib/errors.ts'
import { Secret } from '../../vault/secret.ts'
import { MAX_UNPROVEN } from '../onboarding/server-calls.ts'
import { createAddressLimit, requireWithin } from '../plugins/rate-limit.ts'
import { problems } from '../problem-responses.ts'

const REFUSED: Record<Exclude<ExternalIntegrationResult, 'accepted'>, string> = {
  state_unknown: 'The state was not created by this broker for a button, or it has expired.',
  state_used: 'The state was used before, or its button does not create an integration.',
  client_known: 'An integration with this client ID exists already; it was not changed.',
}

/**
 * Public: receives the keys of an integration that a button created, from the provider's server.
 */
export const secretsHookRoutes: FastifyPluginAsyncTypebox<{
  secrets: ExternalIntegrationsDependencies
}> = async (app, { secrets }) => {
  await app.register(formbody)
  const unproven = await createAddressLimit(app, MAX_UNPROVEN, null)
  app.post('/hooks/secrets', {
    schema: {
      operationId: 'secretsHook',
      tags: ['onboarding'],
      summary:
        'Receives the keys of an integration that a button created; it is provisional until its code is exchanged',
      description:
        'JSON or form. Success is exactly 200: any other status ends the flow of the provider.',
      body: SecretsHookBody,
      response: {
        200: AcceptedSchema,
        ...problems(
          'bad_request',
          'forbidden',
          'unsupported_media_type',
          'too_many_requests',
          'storage_unavailable',
          'internal_error',
        ),
      },
    },
    handler: async (request) => {
      const { client_id, client_secret, state } = request.body
      const hook = { clientId: client_id, clientSecret: new Secret(client_secret), state }
      const result = await createExternalIntegration(secrets, hook)
      if (result === 'state_unknown') {
        requireWithin(await unproven(request), 'Too many hooks with an unknown state.')
      }
      if (result !== 'accepted') {
        request.log.warn({ result }, 'secrets refused')
        throw new BrokerError('forbidden', REFUSED[result])
      }
      return { status: 'accepted' as const }
    },
  })
}
