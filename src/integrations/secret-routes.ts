import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { requireOperator } from '../clients/caller.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import { Secret } from '../vault/secret.ts'
import type { Integrations } from './service.ts'

const Params = Type.Object({
  integration: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }),
})
const Done = { 204: Type.Null({ description: 'done' }) }
const PROBLEMS = problems(
  'bad_request',
  'unauthorized',
  'forbidden',
  'too_many_requests',
  'integration_not_found',
  'storage_unavailable',
  'internal_error',
)

/** A new client secret is given here before the provider is told to use it: no refresh falls in between. */
export const clientSecretRoutes: FastifyPluginAsyncTypebox<{ integrations: Integrations }> = async (
  app,
  { integrations },
) => {
  app.addHook('onRequest', async (request) => {
    requireOperator(callerOf(request), 'change client secrets')
  })

  app.put('/integrations/:integration/next-client-secret', {
    schema: {
      operationId: 'setNextClientSecret',
      tags: ['integrations'],
      summary: 'The client secret to try once the provider refuses the present one',
      description:
        'It stays unused until then. Whichever of the two was refused is kept as the next.',
      params: Params,
      body: Type.Object(
        { client_secret: Type.String({ minLength: 1, maxLength: 1_000 }) },
        { additionalProperties: false },
      ),
      response: { ...Done, ...PROBLEMS },
    },
    handler: async (request, reply) => {
      const { client_secret } = request.body
      await integrations.setNextSecret(request.params.integration, new Secret(client_secret))
      return reply.code(204).send(null)
    },
  })

  app.delete('/integrations/:integration/next-client-secret', {
    schema: {
      operationId: 'removeNextClientSecret',
      tags: ['integrations'],
      summary: 'Takes the next client secret back',
      params: Params,
      response: { ...Done, ...PROBLEMS },
    },
    handler: async (request, reply) => {
      await integrations.setNextSecret(request.params.integration, null)
      return reply.code(204).send(null)
    },
  })
}
