import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ExchangeApiKeyBody, ExchangeParams, ExchangeSchema } from '../../contract/onboarding.ts'
import { BrokerError } from '../../lib/errors.ts'
import { Type } from '../../lib/type.ts'
import type { Exchanges } from '../../onboarding/exchanges.ts'
import { Secret } from '../../vault/secret.ts'
import { auditing, beginAct } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { exchangeToJson } from './to-json.ts'

/** Exchanges login and API key of an administrator: the amoCRM guide's alternative to consent. */
export const exchangeRoutes: FastifyPluginAsyncTypebox<{ exchanges: Exchanges }> = async (
  app,
  { exchanges },
) => {
  app.addSchema(ExchangeSchema)

  app.post('/accounts/exchange-api-key', {
    schema: {
      operationId: 'exchangeApiKey',
      tags: ['onboarding'],
      summary: 'Requests a code with a login and its API key; the provider’s server delivers it',
      description:
        'At most once in five minutes per user and integration. The integration must be installed. GET /accounts/exchanges/:id shows the outcome.',
      body: ExchangeApiKeyBody,
      response: {
        202: Type.Ref('Exchange'),
        ...problems(
          ...COMMON_PROBLEMS,
          'integration_not_found',
          'exchange_refused',
          'exchange_too_soon',
          'provider_unavailable',
          'key_missing',
        ),
      },
    },
    handler: async (request, reply) => {
      const { integration, domain, login, api_key } = request.body
      const createdBy = callerOf(request).name
      auditing(request, { detail: { integration } })
      const apiKey = new Secret(api_key)
      const order = { integration, domain: domain.toLowerCase(), login, apiKey, createdBy }
      return reply.code(202).send(exchangeToJson(await exchanges.begin(order, beginAct(request))))
    },
  })

  app.get('/accounts/exchanges/:exchange', {
    schema: {
      operationId: 'readExchange',
      tags: ['onboarding'],
      summary: 'Returns the outcome of an exchange',
      params: ExchangeParams,
      response: {
        200: Type.Ref('Exchange'),
        ...problems(...COMMON_PROBLEMS, 'exchange_not_found'),
      },
    },
    handler: async (request) => {
      const exchange = await exchanges.find(request.params.exchange)
      if (exchange === undefined) {
        throw new BrokerError('exchange_not_found', 'There is no exchange with this id.')
      }
      return exchangeToJson(exchange)
    },
  })
}
