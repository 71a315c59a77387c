import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import {
  DeliveriesQuery,
  DeliveryPageSchema,
  DeliveryParams,
  DeliverySchema,
  EndpointParams,
} from '../../contract/endpoints.ts'
import type { Database } from '../../db/database.ts'
import { listDeliveries, resendDelivery } from '../../deliveries/list.ts'
import type { Endpoints } from '../../endpoints/service.ts'
import { Type } from '../../lib/type.ts'
import { auditing, beginAct } from '../plugins/audit.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { deliveryToJson } from './to-json.ts'

const PAGE = 50
const PROBLEMS = [...COMMON_PROBLEMS, 'endpoint_not_found'] as const

export interface DeliveryRoutesOptions {
  endpoints: Endpoints
  database: Database
}

/** Shows what was delivered to an endpoint, and sends it again. */
export const deliveryRoutes: FastifyPluginAsyncTypebox<DeliveryRoutesOptions> = async (
  app,
  { endpoints, database },
) => {
  app.addSchema(DeliverySchema)

  app.get('/endpoints/:endpoint/deliveries', {
    schema: {
      operationId: 'listDeliveries',
      tags: ['endpoints'],
      summary: 'Returns the deliveries of an endpoint with their response codes, the newest first',
      params: EndpointParams,
      querystring: DeliveriesQuery,
      response: { 200: DeliveryPageSchema, ...problems(...PROBLEMS) },
    },
    handler: async (request) => {
      const { id: endpointId } = await endpoints.get(request.params.endpoint)
      const rows = await listDeliveries(database.db, { endpointId, ...request.query }, PAGE)
      const last = rows.length === PAGE ? rows.at(-1) : undefined
      return { deliveries: rows.map(deliveryToJson), next: last?.id ?? null }
    },
  })

  app.post('/endpoints/:endpoint/deliveries/:delivery/resend', {
    schema: {
      operationId: 'resendDelivery',
      tags: ['endpoints'],
      summary: 'Sends a delivery again, under the same webhook id',
      params: DeliveryParams,
      response: {
        202: Type.Null({ description: 'it is on its way' }),
        ...problems(...PROBLEMS, 'delivery_not_found'),
      },
    },
    handler: async (request, reply) => {
      const { endpoint, delivery } = request.params
      const { id } = await endpoints.get(endpoint)
      auditing(request, { detail: { delivery } })
      await resendDelivery(database, id, delivery, beginAct(request))
      return reply.code(202).send(null)
    },
  })
}
