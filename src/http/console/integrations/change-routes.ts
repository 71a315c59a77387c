import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { IntegrationParams } from '../../../contract/integrations.ts'
import { checkCopied, checkRedirectUri } from '../../../integrations/check-urls.ts'
import type { IntegrationOrder } from '../../../integrations/edit.ts'
import { BrokerError } from '../../../lib/errors.ts'
import { beginAct } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { redirectWith } from '../flash.ts'
import { readForm, refusedForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { hasMoved, movedNote } from '../seen.ts'
import { NewIntegrationForm, orderOf, SettingsForm } from './integration-form.ts'
import { settingsSeen } from './integration-view.ts'
import { INTEGRATIONS_PATH } from './list-view.ts'
import { sendIntegration, sendList } from './overview-routes.ts'
import { removalView } from './removal-view.ts'

const ONE = `${INTEGRATIONS_PATH}/:integration`

/** Creates, changes, pauses, resumes and removes integrations. */
export const changePages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { integrations, integrationChanges, publicUrl } = broker
  const check = async (order: IntegrationOrder) => {
    checkCopied('client_id', order.clientId)
    checkCopied('client_secret', order.clientSecret?.reveal())
    checkRedirectUri(order.redirectUri, publicUrl)
    await integrations.checkSandboxOrigin(order.sandboxOrigin)
  }

  app.post(INTEGRATIONS_PATH, {
    schema: { hide: true, operationId: 'putIntegration' },
    handler: async (request, reply) => {
      const read = readForm(request, NewIntegrationForm)
      if (!read.isValid) return sendList(broker, request, reply, read.form, 422)
      const { name, provider, sandbox_origin: sandboxOrigin = null } = read.data
      try {
        if (integrations.find(name) !== undefined) {
          throw new BrokerError(
            'bad_request',
            'name: there is an integration of this name already.',
          )
        }
        const order = orderOf(read.data, { provider, sandboxOrigin })
        await check(order)
        await integrationChanges.put(name, order, beginAct(request))
      } catch (error) {
        return sendList(broker, request, reply, refusedForm(read.form, error, fieldOf(error)), 422)
      }
      const note = `${name} is created. Make a link on the page Onboarding to connect an account.`
      return redirectWith(reply, `${INTEGRATIONS_PATH}/${name}`, note)
    },
  })

  app.post(ONE, {
    schema: { hide: true, operationId: 'putIntegration', params: IntegrationParams },
    handler: async (request, reply) => {
      const { integration: name } = request.params
      const known = await integrations.load(name)
      const read = readForm(request, SettingsForm)
      const again = { name, settings: read.form }
      if (!read.isValid) return sendIntegration(broker, request, reply, { ...again, status: 422 })
      if (hasMoved(request, settingsSeen(known))) {
        return sendIntegration(broker, request, reply, { name, note: movedNote(), status: 409 })
      }
      try {
        const { provider, sandboxOrigin } = known
        const order = orderOf(read.data, { provider, sandboxOrigin })
        await check(order)
        await integrationChanges.put(name, order, beginAct(request))
      } catch (error) {
        const settings = refusedForm(read.form, error, fieldOf(error))
        return sendIntegration(broker, request, reply, { name, settings, status: 422 })
      }
      return redirectWith(reply, `${INTEGRATIONS_PATH}/${name}`, 'The settings are saved.')
    },
  })

  for (const action of ['pause', 'resume'] as const) {
    app.post(`${ONE}/${action}`, {
      schema: { hide: true, operationId: `${action}Integration`, params: IntegrationParams },
      handler: async (request, reply) => {
        const { integration: name } = request.params
        const { state } = await integrations.load(name)
        const wanted = action === 'pause' ? state === 'running' : state !== 'running'
        if (!wanted) {
          return sendIntegration(broker, request, reply, { name, note: movedNote(), status: 409 })
        }
        await integrationChanges[action](name, callerOf(request).name, beginAct(request))
        const note =
          action === 'pause'
            ? `${name} is paused. Tokens are still served until they end.`
            : `${name} sends again.`
        return redirectWith(reply, `${INTEGRATIONS_PATH}/${name}`, note)
      },
    })

    app.post(`/console/all-integrations/${action}`, {
      schema: { hide: true, operationId: `${action}Integrations` },
      handler: async (request, reply) => {
        await integrationChanges[action](undefined, callerOf(request).name, beginAct(request))
        const note =
          action === 'pause'
            ? 'All integrations are paused.'
            : 'All that were paused send again. One that has halted itself is resumed by its own button.'
        return redirectWith(reply, INTEGRATIONS_PATH, note)
      },
    })
  }

  app.get(`${ONE}/remove`, {
    schema: { hide: true, operationId: 'showIntegrationRemoval', params: IntegrationParams },
    handler: async (request, reply) => {
      const { name } = await integrations.load(request.params.integration)
      return sendPage(request, reply, { ...removalView(name), section: 'integrations' })
    },
  })

  app.post(`${ONE}/remove`, {
    schema: { hide: true, operationId: 'removeIntegration', params: IntegrationParams },
    handler: async (request, reply) => {
      const { integration: name } = request.params
      try {
        await integrationChanges.remove(name, beginAct(request))
      } catch (error) {
        const { errors } = refusedForm({ values: {}, errors: {} }, error)
        const view = removalView(name, errors[''])
        return sendPage(request, reply, { ...view, section: 'integrations', status: 422 })
      }
      const note = `${name} is removed. Settings in the environment create it again at the next start.`
      return redirectWith(reply, INTEGRATIONS_PATH, note)
    },
  })
}

const FIELDS = ['name', 'client_id', 'client_secret', 'redirect_uri', 'sandbox_origin'] as const

/** Returns the field that a refusal is about. */
function fieldOf(error: unknown): string {
  if (!(error instanceof BrokerError)) return ''
  if (error.code === 'client_secret_needed') return 'client_secret'
  const profile = /^profile\.(\w+)/.exec(error.message)?.[1]
  return profile ?? FIELDS.find((field) => error.message.startsWith(`${field}:`)) ?? ''
}
