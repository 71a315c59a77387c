import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import {
  IntegrationBody,
  IntegrationParams,
  PaceBody,
  RemovedIntegrationSchema,
} from '../../contract/integrations.ts'
import type { IntegrationChanges } from '../../integrations/changes.ts'
import { checkCopied, checkRedirectUri } from '../../integrations/check-urls.ts'
import type { Integrations } from '../../integrations/directory.ts'
import { Type } from '../../lib/type.ts'
import { beginAct } from '../plugins/audit.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { orderFrom } from './from-json.ts'
import { integrationToJson } from './to-json.ts'

const PROBLEMS = [...COMMON_PROBLEMS, 'integration_not_found'] as const

interface EditRoutesOptions {
  integrations: Integrations
  integrationChanges: IntegrationChanges
  publicUrl: string | null
}

/** Shows, creates, changes and removes integrations. */
export const editRoutes: FastifyPluginAsyncTypebox<EditRoutesOptions> = async (
  app,
  { integrations, integrationChanges, publicUrl },
) => {
  app.get('/integrations/:integration', {
    schema: {
      operationId: 'showIntegration',
      tags: ['integrations'],
      summary: 'Returns one integration, without its secrets',
      params: IntegrationParams,
      response: { 200: Type.Ref('Integration'), ...problems(...PROBLEMS) },
    },
    handler: async (request) =>
      integrationToJson(await integrations.load(request.params.integration)),
  })

  app.put('/integrations/:integration', {
    schema: {
      operationId: 'putIntegration',
      tags: ['integrations'],
      summary: 'Creates an integration, or replaces all its settings',
      description:
        'Settings from the environment (AMO_…, KOMMO_…) are applied again only when they change. The redirect URI and the URLs of the profile can be changed only together with the current client secret.',
      params: IntegrationParams,
      body: IntegrationBody,
      response: {
        200: Type.Ref('Integration'),
        201: Type.Ref('Integration'),
        ...problems(...PROBLEMS, 'client_secret_needed', 'key_missing'),
      },
    },
    handler: async (request, reply) => {
      const { integration } = request.params
      const order = orderFrom(request.body)
      checkCopied('client_id', order.clientId)
      checkCopied('client_secret', order.clientSecret?.reveal())
      checkRedirectUri(order.redirectUri, publicUrl)
      await integrations.checkSandboxOrigin(order.sandboxOrigin)
      const isNew = await integrationChanges.put(integration, order, beginAct(request))
      return reply.code(isNew ? 201 : 200).send(integrationToJson(integrations.get(integration)))
    },
  })

  app.patch('/integrations/:integration', {
    schema: {
      operationId: 'setIntegrationPace',
      tags: ['integrations'],
      summary: 'Sets the pace of an integration: how many refreshes it sends per second',
      description: 'It stays after a restart, whatever PACE_PER_SECOND is.',
      params: IntegrationParams,
      body: PaceBody,
      response: { 200: Type.Ref('Integration'), ...problems(...PROBLEMS) },
    },
    handler: async (request) => {
      const { integration } = request.params
      const { pace_per_second: pace } = request.body
      await integrationChanges.setPace(
        integration,
        pace === 'default' ? null : pace,
        beginAct(request),
      )
      return integrationToJson(integrations.get(integration))
    },
  })

  app.delete('/integrations/:integration', {
    schema: {
      operationId: 'removeIntegration',
      tags: ['integrations'],
      summary: 'Removes an integration without accounts; lists what remains elsewhere',
      params: IntegrationParams,
      response: {
        200: RemovedIntegrationSchema,
        ...problems(...PROBLEMS, 'integration_in_use'),
      },
    },
    handler: async (request) => {
      const { integration } = request.params
      await integrationChanges.remove(integration, beginAct(request))
      return {
        name: integration,
        removed: [
          'the integration with its client secrets',
          'its connect links',
          'the grants of clients for it',
        ],
        remains: [
          'the integration at the provider',
          'settings in the environment (AMO_…, KOMMO_…), if there are any: the next start creates it again',
          'the audit, and its onboardings without their codes',
        ],
      }
    },
  })
}
