import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { DomainField, IntegrationField, UuidField } from '../../../contract/fields.ts'
import { ExchangeApiKeyBody } from '../../../contract/onboarding.ts'
import { BrokerError } from '../../../lib/errors.ts'
import { Type } from '../../../lib/type.ts'
import { Secret } from '../../../vault/secret.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { emptyForm, type Form, readForm, refusedForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { apiKeyView, codeView, exchangeView, onboardingView } from './exchange-view.ts'
import { ONBOARDING_PATH } from './overview-view.ts'
import { readTypedCode } from './typed-code.ts'

const CODE_PATH = `${ONBOARDING_PATH}/code`
const KEY_PATH = `${ONBOARDING_PATH}/api-key`

const CodeForm = Type.Object({
  integration: IntegrationField,
  domain: Type.Optional(DomainField),
  code: Type.String({ minLength: 20, maxLength: 10_000 }),
})

/** Exchanges codes and API keys, and shows how each ended. */
export const exchangePages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { onboarding, exchanges, integrations } = broker
  const sendForm = (
    request: FastifyRequest,
    reply: FastifyReply,
    view: typeof codeView,
    form: Form,
  ) => {
    const status = Object.keys(form.errors).length > 0 ? 422 : 200
    const page = view(form, integrations.all())
    return sendPage(request, reply, { ...page, section: 'onboarding', status, width: 'reading' })
  }

  app.get(CODE_PATH, {
    schema: { hide: true, operationId: 'showExchangeCode' },
    handler: (request, reply) => sendForm(request, reply, codeView, emptyForm()),
  })

  app.post(CODE_PATH, {
    schema: { hide: true, operationId: 'exchangeCode' },
    handler: async (request, reply) => {
      const read = readForm(request, CodeForm)
      if (!read.isValid) return sendForm(request, reply, codeView, read.form)
      try {
        const { code, referer } = readTypedCode(read.data.code)
        const domain = read.data.domain ?? referer
        if (domain === undefined) {
          const form = refusedForm(
            read.form,
            new BrokerError(
              'bad_request',
              'Fill this in: the code does not say which account it is for.',
            ),
            'domain',
          )
          return sendForm(request, reply, codeView, form)
        }
        const { integration } = read.data
        auditing(request, { detail: { integration } })
        const order = { integration, domain: domain.toLowerCase(), code }
        const id = await onboarding.exchangeCode(order, beginAct(request))
        return reply.redirect(`${ONBOARDING_PATH}/callbacks/${id}`, 303)
      } catch (error) {
        return sendForm(request, reply, codeView, refusedForm(read.form, error, fieldOf(error)))
      }
    },
  })

  app.get(`${ONBOARDING_PATH}/callbacks/:onboarding`, {
    schema: {
      hide: true,
      operationId: 'showOnboardingState',
      params: Type.Object({ onboarding: UuidField }),
    },
    handler: async (request, reply) => {
      const row = await onboarding.find(request.params.onboarding)
      if (row === undefined) {
        throw new BrokerError(
          'onboarding_not_found',
          'It ended more than 90 days ago, or never was.',
        )
      }
      return sendPage(request, reply, {
        ...onboardingView(row),
        section: 'onboarding',
        isLive: true,
      })
    },
  })

  app.get(KEY_PATH, {
    schema: { hide: true, operationId: 'showExchangeApiKey' },
    handler: (request, reply) => sendForm(request, reply, apiKeyView, emptyForm()),
  })

  app.post(KEY_PATH, {
    schema: { hide: true, operationId: 'exchangeApiKey' },
    handler: async (request, reply) => {
      const read = readForm(request, ExchangeApiKeyBody)
      if (!read.isValid) return sendForm(request, reply, apiKeyView, read.form)
      const { integration, domain, login, api_key } = read.data
      auditing(request, { detail: { integration } })
      const order = {
        ...{ integration, login, domain: domain.toLowerCase(), apiKey: new Secret(api_key) },
        createdBy: callerOf(request).name,
      }
      try {
        const { id } = await exchanges.begin(order, beginAct(request))
        return reply.redirect(`${ONBOARDING_PATH}/exchanges/${id}`, 303)
      } catch (error) {
        return sendForm(request, reply, apiKeyView, refusedForm(read.form, error, fieldOf(error)))
      }
    },
  })

  app.get(`${ONBOARDING_PATH}/exchanges/:exchange`, {
    schema: {
      hide: true,
      operationId: 'showExchange',
      params: Type.Object({ exchange: UuidField }),
    },
    handler: async (request, reply) => {
      const exchange = await exchanges.find(request.params.exchange)
      if (exchange === undefined) {
        throw new BrokerError('exchange_not_found', 'It ended more than 90 days ago, or never was.')
      }
      return sendPage(request, reply, {
        ...exchangeView(exchange),
        section: 'onboarding',
        isLive: true,
      })
    },
  })
}

/** Returns the field that a refusal is about. */
function fieldOf(error: unknown): string {
  if (!(error instanceof BrokerError)) return ''
  if (error.code === 'integration_not_found') return 'integration'
  return /^domain:/.test(error.message) ? 'domain' : ''
}
