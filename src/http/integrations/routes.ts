import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { IntegrationListSchema, IntegrationParams } from '../../contract/integrations.ts'
import type { IntegrationChanges } from '../../integrations/changes.ts'
import type { Integrations } from '../../integrations/directory.ts'
import { Type } from '../../lib/type.ts'
import { beginAct } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { integrationToJson } from './to-json.ts'

const SUMMARIES = {
  pause: {
    one: 'Stops sending for an integration; present tokens are still served',
    all: 'Stops sending for all integrations; present tokens are still served',
  },
  resume: {
    one: 'Resumes an integration that was paused or has halted',
    all: 'Resumes all paused integrations; a halted one must be resumed by its name',
  },
} as const

/** Lists, pauses and resumes integrations. */
export const integrationRoutes: FastifyPluginAsyncTypebox<{
  integrations: Integrations
  integrationChanges: IntegrationChanges
}> = async (app, { integrations, integrationChanges }) => {
  const list = () => ({ integrations: integrations.all().map(integrationToJson) })

  app.get('/integrations', {
    schema: {
      operationId: 'listIntegrations',
      tags: ['integrations'],
      summary: 'Returns all integrations, whether they send, and why not',
      response: { 200: IntegrationListSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: list,
  })

  for (const action of ['pause', 'resume'] as const) {
    app.post(`/integrations/${action}`, {
      schema: {
        operationId: `${action}Integrations`,
        tags: ['integrations'],
        summary: SUMMARIES[action].all,
        response: { 200: IntegrationListSchema, ...problems(...COMMON_PROBLEMS) },
      },
      handler: async (request) => {
        await integrationChanges[action](undefined, callerOf(request).name, beginAct(request))
        return list()
      },
    })

    app.post(`/integrations/:integration/${action}`, {
      schema: {
        operationId: `${action}Integration`,
        tags: ['integrations'],
        summary: SUMMARIES[action].one,
        params: IntegrationParams,
        response: {
          200: Type.Ref('Integration'),
          ...problems(...COMMON_PROBLEMS, 'integration_not_found'),
        },
      },
      handler: async (request) => {
        const { integration } = request.params
        await integrationChanges[action](integration, callerOf(request).name, beginAct(request))
        return integrationToJson(integrations.get(integration))
      },
    })
  }
}
