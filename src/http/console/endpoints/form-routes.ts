import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { EndpointParams } from '../../../contract/endpoints.ts'
import { BrokerError } from '../../../lib/errors.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { redirectWith } from '../flash.ts'
import { readForm, refusedForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { NewEndpointForm, SettingsForm, settingsFrom } from './endpoint-form.ts'
import { sendEndpoint, sendList } from './endpoint-routes.ts'
import { newSecretView, removalView } from './endpoint-view.ts'
import { ENDPOINTS_PATH } from './list-view.ts'

const ONE = `${ENDPOINTS_PATH}/:endpoint`
const DAY_SECONDS = 24 * 3600
const FIELDS = ['name', 'url', 'bot_token', 'chat_id', 'api_origin', 'types', 'integrations']

/** Creates, changes, tests and removes endpoints. */
export const endpointForms: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { endpoints } = broker

  app.post(ENDPOINTS_PATH, {
    schema: { hide: true, operationId: 'createEndpoint' },
    handler: async (request, reply) => {
      const read = readForm(request, NewEndpointForm)
      if (!read.isValid) return sendList(broker, request, reply, read.form, 422)
      const { name, kind } = read.data
      auditing(request, { detail: { endpoint: name, kind } })
      try {
        // If it is not ticked, the kind decides: people get one message about many lost accounts.
        const { grouped } = read.data
        const createdBy = callerOf(request).name
        const order = { ...settingsFrom(read.data), grouped, name, kind, createdBy }
        const { endpoint, signingSecret } = await endpoints.create(order, beginAct(request))
        if (signingSecret !== null) {
          const view = newSecretView(endpoint, signingSecret.reveal())
          return sendPage(request, reply, { ...view, section: 'endpoints', holdsSecret: true })
        }
      } catch (error) {
        return sendList(broker, request, reply, refusedForm(read.form, error, fieldOf(error)), 422)
      }
      return redirectWith(reply, `${ENDPOINTS_PATH}/${name}`, `${name} is created. Send it a test.`)
    },
  })

  app.post(ONE, {
    schema: { hide: true, operationId: 'changeEndpoint', params: EndpointParams },
    handler: async (request, reply) => {
      const { endpoint: name } = request.params
      const read = readForm(request, SettingsForm)
      if (!read.isValid) {
        return sendEndpoint(broker, request, reply, { name, settings: read.form, status: 422 })
      }
      try {
        await endpoints.change(name, settingsFrom(read.data), beginAct(request))
      } catch (error) {
        if (error instanceof BrokerError && error.code === 'endpoint_not_found') throw error
        const settings = refusedForm(read.form, error, fieldOf(error))
        return sendEndpoint(broker, request, reply, { name, settings, status: 422 })
      }
      return redirectWith(reply, `${ENDPOINTS_PATH}/${name}`, 'The settings are saved.')
    },
  })

  app.post(`${ONE}/rotate-secret`, {
    schema: { hide: true, operationId: 'rotateEndpointSecret', params: EndpointParams },
    handler: async (request, reply) => {
      const { endpoint: name } = request.params
      const act = beginAct(request)
      const { endpoint, signingSecret } = await endpoints.rotateSecret(name, DAY_SECONDS, act)
      const view = newSecretView(endpoint, signingSecret?.reveal() ?? '')
      return sendPage(request, reply, { ...view, section: 'endpoints', holdsSecret: true })
    },
  })

  const acts = [
    ['test', 'testEndpoint', 'A test is on its way. The list below shows what became of it.'],
    ['disable', 'disableEndpoint', 'It is disabled. Nothing is sent to it.'],
    ['enable', 'enableEndpoint', 'It is enabled, and what has waited is sent.'],
  ] as const
  for (const [action, operationId, note] of acts) {
    app.post(`${ONE}/${action}`, {
      schema: { hide: true, operationId, params: EndpointParams },
      handler: async (request, reply) => {
        const { endpoint: name } = request.params
        await endpoints[action](name, beginAct(request))
        return redirectWith(reply, `${ENDPOINTS_PATH}/${name}`, note)
      },
    })
  }

  app.get(`${ONE}/remove`, {
    schema: { hide: true, operationId: 'showEndpointRemoval', params: EndpointParams },
    handler: async (request, reply) => {
      const view = removalView(await endpoints.get(request.params.endpoint))
      return sendPage(request, reply, { ...view, section: 'endpoints' })
    },
  })

  app.post(`${ONE}/remove`, {
    schema: { hide: true, operationId: 'removeEndpoint', params: EndpointParams },
    handler: async (request, reply) => {
      const { endpoint: name } = request.params
      await endpoints.remove(name, beginAct(request))
      return redirectWith(reply, ENDPOINTS_PATH, `${name} is removed.`)
    },
  })
}

/** Returns the field that a refusal is about. */
function fieldOf(error: unknown): string {
  if (!(error instanceof BrokerError)) return ''
  if (error.code === 'endpoint_exists') return 'name'
  return FIELDS.find((field) => error.message.startsWith(`${field}:`)) ?? ''
}
