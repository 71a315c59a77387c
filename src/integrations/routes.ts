import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { requireOperator } from '../clients/caller.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import { IntegrationParams, toJson } from './schemas.ts'
import type { Integrations } from './service.ts'

const PROBLEMS = [
  'unauthorized',
  'forbidden',
  'too_many_requests',
  'storage_unavailable',
  'internal_error',
] as const

const All = Type.Object({ integrations: Type.Array(Type.Ref('Integration')) })

const SUMMARIES = {
  pause: {
    one: 'Serves what the accounts of an integration have and sends nothing',
    all: 'Serves what all accounts have and sends nothing',
  },
  resume: {
    one: 'Sends again for an integration that was paused or has halted',
    all: 'Sends again for all integrations that were paused; a halted one is resumed by its name',
  },
} as const

/** Operators see which integrations send, and why not; they stop them and let them go on. */
export const integrationRoutes: FastifyPluginAsyncTypebox<{ integrations: Integrations }> = async (
  app,
  { integrations },
) => {
  app.addHook('onRequest', async (request) => {
    requireOperator(callerOf(request), 'manage integrations')
  })
  const list = () => ({ integrations: integrations.all().map(toJson) })

  app.get('/integrations', {
    schema: {
      operationId: 'listIntegrations',
      tags: ['integrations'],
      summary: 'All integrations: whether they send, and why not',
      response: { 200: All, ...problems(...PROBLEMS) },
    },
    handler: list,
  })

  for (const action of ['pause', 'resume'] as const) {
    app.post(`/integrations/${action}`, {
      schema: {
        operationId: `${action}Integrations`,
        tags: ['integrations'],
        summary: SUMMARIES[action].all,
        response: { 200: All, ...problems(...PROBLEMS) },
      },
      handler: async (request) => {
        await integrations[action](undefined, callerOf(request).name)
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
          ...problems(...PROBLEMS, 'bad_request', 'integration_not_found'),
        },
      },
      handler: async (request) => {
        const { integration } = request.params
        await integrations[action](integration, callerOf(request).name)
        return toJson(integrations.get(integration))
      },
    })
  }
}
