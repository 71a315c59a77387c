import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { EndpointParams, RotateBody, TestedSchema } from '../../contract/endpoints.ts'
import type { Endpoints } from '../../endpoints/service.ts'
import { Type } from '../../lib/type.ts'
import { beginAct } from '../plugins/audit.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { endpointToJson, withSecretToJson } from './to-json.ts'

const PROBLEMS = [...COMMON_PROBLEMS, 'endpoint_not_found'] as const

/** What an operator does with an endpoint: a new secret, a test, off and on. */
export const endpointActionRoutes: FastifyPluginAsyncTypebox<{ endpoints: Endpoints }> = async (
  app,
  { endpoints },
) => {
  app.post('/endpoints/:endpoint/rotate-secret', {
    schema: {
      operationId: 'rotateEndpointSecret',
      tags: ['endpoints'],
      summary: 'Makes a new secret of a webhook; the previous one is valid for a while',
      params: EndpointParams,
      body: RotateBody,
      response: {
        200: Type.Ref('EndpointWithSecret'),
        ...problems(...PROBLEMS, 'key_missing'),
      },
    },
    handler: async (request) => {
      const { endpoint } = request.params
      const { overlap_seconds: overlapSeconds = 0 } = request.body
      return withSecretToJson(
        await endpoints.rotateSecret(endpoint, overlapSeconds, beginAct(request)),
      )
    },
  })

  app.post('/endpoints/:endpoint/test', {
    schema: {
      operationId: 'testEndpoint',
      tags: ['endpoints'],
      summary: 'Sends a test message in the same way as every event',
      params: EndpointParams,
      response: { 202: TestedSchema, ...problems(...PROBLEMS, 'endpoint_disabled') },
    },
    handler: async (request, reply) => {
      const eventId = await endpoints.test(request.params.endpoint, beginAct(request))
      return reply.code(202).send({ event_id: eventId })
    },
  })

  app.post('/endpoints/:endpoint/disable', {
    schema: {
      operationId: 'disableEndpoint',
      tags: ['endpoints'],
      summary: 'Sends nothing more until it is enabled; later events are not kept for it',
      params: EndpointParams,
      response: { 200: Type.Ref('Endpoint'), ...problems(...PROBLEMS) },
    },
    handler: async (request) =>
      endpointToJson(await endpoints.disable(request.params.endpoint, beginAct(request))),
  })

  app.post('/endpoints/:endpoint/enable', {
    schema: {
      operationId: 'enableEndpoint',
      tags: ['endpoints'],
      summary: 'Sends again, also what has waited since before it was disabled',
      params: EndpointParams,
      response: { 200: Type.Ref('Endpoint'), ...problems(...PROBLEMS) },
    },
    handler: async (request) =>
      endpointToJson(await endpoints.enable(request.params.endpoint, beginAct(request))),
  })
}
