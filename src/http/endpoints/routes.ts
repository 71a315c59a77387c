import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Static } from 'typebox'
import {
  EndpointBody,
  EndpointChangeBody,
  EndpointListSchema,
  EndpointParams,
  EndpointSchema,
  EndpointWithSecretSchema,
} from '../../contract/endpoints.ts'
import type { EndpointSettings } from '../../endpoints/service.ts'
import { Type } from '../../lib/type.ts'
import { auditing, beginAct } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { endpointActionRoutes } from './action-routes.ts'
import { type DeliveryRoutesOptions, deliveryRoutes } from './delivery-routes.ts'
import { endpointToJson, withSecretToJson } from './to-json.ts'

const PROBLEMS = [...COMMON_PROBLEMS, 'endpoint_not_found'] as const

/** Manages the receivers of events: webhooks, Telegram, Slack. */
export const endpointRoutes: FastifyPluginAsyncTypebox<DeliveryRoutesOptions> = async (
  app,
  { endpoints, database },
) => {
  app.addSchema(EndpointSchema)
  app.addSchema(EndpointWithSecretSchema)
  await app.register(endpointActionRoutes, { endpoints })
  await app.register(deliveryRoutes, { endpoints, database })

  app.get('/endpoints', {
    schema: {
      operationId: 'listEndpoints',
      tags: ['endpoints'],
      summary: 'Returns all endpoints, without their secrets',
      response: { 200: EndpointListSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async () => ({ endpoints: (await endpoints.list()).map(endpointToJson) }),
  })

  app.post('/endpoints', {
    schema: {
      operationId: 'createEndpoint',
      tags: ['endpoints'],
      summary: 'Creates an endpoint; the secret of a webhook is shown only once',
      body: EndpointBody,
      response: {
        201: Type.Ref('EndpointWithSecret'),
        ...problems(...COMMON_PROBLEMS, 'endpoint_exists'),
      },
    },
    handler: async (request, reply) => {
      const { name, kind } = request.body
      auditing(request, { detail: { endpoint: name, kind } })
      const createdBy = callerOf(request).name
      const order = { name, kind, createdBy, ...settingsFrom(request.body) }
      const created = await endpoints.create(order, beginAct(request))
      return reply.code(201).send(withSecretToJson(created))
    },
  })

  app.get('/endpoints/:endpoint', {
    schema: {
      operationId: 'showEndpoint',
      tags: ['endpoints'],
      summary: 'Returns one endpoint, without its secrets',
      params: EndpointParams,
      response: { 200: Type.Ref('Endpoint'), ...problems(...PROBLEMS) },
    },
    handler: async (request) => endpointToJson(await endpoints.get(request.params.endpoint)),
  })

  app.patch('/endpoints/:endpoint', {
    schema: {
      operationId: 'changeEndpoint',
      tags: ['endpoints'],
      summary: 'Changes the settings that are given',
      params: EndpointParams,
      body: EndpointChangeBody,
      response: { 200: Type.Ref('Endpoint'), ...problems(...PROBLEMS, 'key_missing') },
    },
    handler: async (request) => {
      const settings = settingsFrom(request.body)
      const { endpoint } = request.params
      return endpointToJson(await endpoints.change(endpoint, settings, beginAct(request)))
    },
  })

  app.delete('/endpoints/:endpoint', {
    schema: {
      operationId: 'removeEndpoint',
      tags: ['endpoints'],
      summary: 'Removes an endpoint and its deliveries',
      params: EndpointParams,
      response: { 204: Type.Null({ description: 'done' }), ...problems(...PROBLEMS) },
    },
    handler: async (request, reply) => {
      await endpoints.remove(request.params.endpoint, beginAct(request))
      return reply.code(204).send(null)
    },
  })
}

function settingsFrom(body: Static<typeof EndpointChangeBody>): EndpointSettings {
  const { url, bot_token: botToken, chat_id: chatId, api_origin: apiOrigin } = body
  const { language, types, integrations, grouped } = body
  return { target: { url, botToken, chatId, apiOrigin }, language, types, integrations, grouped }
}
