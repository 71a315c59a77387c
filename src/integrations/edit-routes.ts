import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { requireOperator } from '../clients/caller.ts'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import { checkRedirectUri, checkSandboxOrigin } from './check-urls.ts'
import {
  IntegrationBody,
  IntegrationParams,
  orderFrom,
  RemovedIntegrationSchema,
  toJson,
} from './schemas.ts'
import type { Integrations } from './service.ts'

const PROBLEMS = [
  'bad_request',
  'unauthorized',
  'forbidden',
  'too_many_requests',
  'integration_not_found',
  'storage_unavailable',
  'internal_error',
] as const

export interface EditRoutesOptions {
  integrations: Integrations
  publicUrl: string | null
}

/** Operators make, change and remove integrations. */
export const editRoutes: FastifyPluginAsyncTypebox<EditRoutesOptions> = async (
  app,
  { integrations, publicUrl },
) => {
  app.addHook('onRequest', async (request) => {
    requireOperator(callerOf(request), 'manage integrations')
  })

  app.get('/integrations/:integration', {
    schema: {
      operationId: 'showIntegration',
      tags: ['integrations'],
      summary: 'One integration, without its secrets',
      params: IntegrationParams,
      response: { 200: Type.Ref('Integration'), ...problems(...PROBLEMS) },
    },
    handler: async (request) => toJson(await integrations.load(request.params.integration)),
  })

  app.put('/integrations/:integration', {
    schema: {
      operationId: 'putIntegration',
      tags: ['integrations'],
      summary: 'Makes an integration, or changes it as a whole',
      description:
        'Settings of the environment (AMO_…, KOMMO_…) are applied again only when they change themselves. The redirect URI and the URLs of the profile change only with the present client secret.',
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
      checkRedirectUri(order.redirectUri, publicUrl)
      checkSandboxOrigin(order.sandboxOrigin)
      const isNew = await integrations.put(integration, order)
      auditing(request, { outcome: isNew ? 'created' : 'changed' })
      return reply.code(isNew ? 201 : 200).send(toJson(integrations.get(integration)))
    },
  })

  app.delete('/integrations/:integration', {
    schema: {
      operationId: 'removeIntegration',
      tags: ['integrations'],
      summary: 'Removes an integration that has no accounts; says what remains',
      params: IntegrationParams,
      response: {
        200: RemovedIntegrationSchema,
        ...problems(...PROBLEMS, 'integration_in_use'),
      },
    },
    handler: async (request) => {
      const { integration } = request.params
      await integrations.remove(integration)
      return {
        name: integration,
        removed: ['the integration with its client secrets', 'its connect links'],
        remains: [
          'the integration at the provider',
          'the environment, if it names it (AMO_…, KOMMO_…): the next start makes it again',
          'the audit, and what came in for it without its codes',
        ],
      }
    },
  })
}
