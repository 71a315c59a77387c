import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { DeliveriesQuery, DeliveryParams, EndpointParams } from '../../../contract/endpoints.ts'
import { listDeliveries, resendDelivery } from '../../../deliveries/list.ts'
import { Type } from '../../../lib/type.ts'
import { beginAct } from '../../plugins/audit.ts'
import { redirectWith } from '../flash.ts'
import { emptyForm, type Form } from '../form.ts'
import { sendPage } from '../page.ts'
import { formOf } from './endpoint-form.ts'
import { endpointView } from './endpoint-view.ts'
import { ENDPOINTS_PATH, listView } from './list-view.ts'

const ROWS = 50
const PageQuery = Type.Pick(DeliveriesQuery, ['state', 'before'])

/** Shows all endpoints, and the deliveries of each with their response codes. */
export const endpointPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { endpoints, database } = broker

  app.get(ENDPOINTS_PATH, {
    schema: { hide: true, operationId: 'showEndpoints' },
    handler: (request, reply) => sendList(broker, request, reply, emptyForm({ kind: 'webhook' })),
  })

  app.get(`${ENDPOINTS_PATH}/:endpoint`, {
    schema: {
      hide: true,
      operationId: 'showEndpointState',
      params: EndpointParams,
      querystring: PageQuery,
    },
    handler: async (request, reply) => {
      const { endpoint: name } = request.params
      return sendEndpoint(broker, request, reply, { name, ...request.query })
    },
  })

  app.post(`${ENDPOINTS_PATH}/:endpoint/deliveries/:delivery/resend`, {
    schema: { hide: true, operationId: 'resendDelivery', params: DeliveryParams },
    handler: async (request, reply) => {
      const { endpoint: name, delivery } = request.params
      const { id } = await endpoints.get(name)
      await resendDelivery(database, id, delivery, beginAct(request))
      return redirectWith(
        reply,
        `${ENDPOINTS_PATH}/${name}`,
        'It is sent again, under the same id.',
      )
    },
  })
}

/** Sends the list with the form for a new endpoint, which may have been refused. */
export async function sendList(
  { endpoints }: Broker,
  request: FastifyRequest,
  reply: FastifyReply,
  form: Form,
  status = 200,
): Promise<FastifyReply> {
  const view = listView(await endpoints.list(), form)
  return sendPage(request, reply, { ...view, section: 'endpoints', status })
}

interface Wanted {
  name: string
  state?: 'pending' | 'delivered' | 'failed' | 'cancelled' | 'grouped'
  before?: number
  settings?: Form
  status?: number
}

/** Sends the page of one endpoint. A form that was refused keeps what was typed. */
export async function sendEndpoint(
  { endpoints, database }: Broker,
  request: FastifyRequest,
  reply: FastifyReply,
  { name, state, before, settings, status = 200 }: Wanted,
): Promise<FastifyReply> {
  const endpoint = await endpoints.get(name)
  const filter = { endpointId: endpoint.id, state, before }
  const deliveries = await listDeliveries(database.db, filter, ROWS)
  const last = deliveries.length === ROWS ? deliveries.at(-1)?.id : undefined
  const shown = { endpoint, deliveries, state, next: last, settings: settings ?? formOf(endpoint) }
  return sendPage(request, reply, { ...endpointView(shown), section: 'endpoints', status })
}
