import formbody from '@fastify/formbody'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BrokerError } from '../errors.ts'
import { problems } from '../plugins/problems.ts'
import { Secret } from '../vault/secret.ts'
import { receiveSecrets, type SecretsDependencies, type SecretsResult } from './secrets-hook.ts'

const REFUSED: Record<Exclude<SecretsResult, 'accepted'>, string> = {
  state_unknown: 'The state was not made by this broker for a button, or has expired.',
  state_used: 'The state was used before, or belongs to no button that makes an integration.',
  client_known: 'An integration of this client ID is here already; it is left as it is.',
}
const Text = (maxLength: number) => Type.String({ minLength: 1, maxLength })

/** Public: the provider's server brings the keys of an integration that a button made. */
export const secretsRoutes: FastifyPluginAsyncTypebox<{ secrets: SecretsDependencies }> = async (
  app,
  { secrets },
) => {
  await app.register(formbody)
  app.post('/hooks/secrets', {
    schema: {
      operationId: 'secretsHook',
      tags: ['onboarding'],
      summary:
        'The keys of an integration that a button made: provisional until its code is exchanged',
      description:
        'JSON or form. Answers exactly 200: anything else breaks the provider’s flow off.',
      // Both platforms send more than they document; what is not named is ignored.
      body: Type.Object({
        client_id: Type.String({ maxLength: 100, pattern: '^[A-Za-z0-9-]{8,100}$' }),
        client_secret: Text(500),
        state: Text(1_024),
        name: Type.Optional(Type.String({ maxLength: 1_000 })),
        scopes: Type.Optional(
          Type.Union([
            Type.String({ maxLength: 2_000 }),
            Type.Array(Type.String({ maxLength: 100 }), { maxItems: 100 }),
          ]),
        ),
      }),
      response: {
        200: Type.Object({ status: Type.Literal('accepted') }),
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
      const { client_id, client_secret, state } = request.body
      const hook = { clientId: client_id, clientSecret: new Secret(client_secret), state }
      const result = await receiveSecrets(secrets, hook)
      if (result !== 'accepted') {
        request.log.warn({ result }, 'secrets refused')
        throw new BrokerError('forbidden', REFUSED[result])
      }
      return { status: 'accepted' as const }
    },
  })
}
