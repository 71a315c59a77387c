import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { IntegrationParams, NextSecretBody } from '../../contract/integrations.ts'
import type { IntegrationChanges } from '../../integrations/changes.ts'
import { checkCopied } from '../../integrations/check-urls.ts'
import { Type } from '../../lib/type.ts'
import { Secret } from '../../vault/secret.ts'
import { beginAct } from '../plugins/audit.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'

const RESPONSES = {
  204: Type.Null({ description: 'done' }),
  ...problems(...COMMON_PROBLEMS, 'integration_not_found'),
}

/**
 * Stores the next client secret before it is changed at the provider, so that no refresh fails in
 * between.
 */
export const clientSecretRoutes: FastifyPluginAsyncTypebox<{
  integrationChanges: IntegrationChanges
}> = async (app, { integrationChanges }) => {
  app.put('/integrations/:integration/next-client-secret', {
    schema: {
      operationId: 'setNextClientSecret',
      tags: ['integrations'],
      summary: 'Stores the client secret to use once the provider refuses the current one',
      description:
        'It is not used before. When the provider refuses one of the two, the other one becomes current and the refused one is kept as the next.',
      params: IntegrationParams,
      body: NextSecretBody,
      response: RESPONSES,
    },
    handler: async (request, reply) => {
      const { client_secret } = request.body
      checkCopied('client_secret', client_secret)
      const secret = new Secret(client_secret)
      await integrationChanges.setNextSecret(request.params.integration, secret, beginAct(request))
      return reply.code(204).send(null)
    },
  })

  app.delete('/integrations/:integration/next-client-secret', {
    schema: {
      operationId: 'removeNextClientSecret',
      tags: ['integrations'],
      summary: 'Removes the next client secret',
      params: IntegrationParams,
      response: RESPONSES,
    },
    handler: async (request, reply) => {
      await integrationChanges.setNextSecret(request.params.integration, null, beginAct(request))
      return reply.code(204).send(null)
    },
  })
}
