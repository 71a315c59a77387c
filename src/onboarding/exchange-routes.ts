import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from 'typebox'
import { requireOperator } from '../clients/caller.ts'
import { BrokerError } from '../errors.ts'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import { Secret } from '../vault/secret.ts'
import type { Exchange, Exchanges } from './exchanges.ts'
import { explainOutcome } from './outcomes.ts'
import { DomainField, IntegrationField } from './schemas.ts'

export const ExchangeSchema = Type.Object(
  {
    id: Type.String(),
    integration: Type.String(),
    domain: Type.String(),
    outcome: Type.Union([Type.String(), Type.Null()], {
      description: 'connected, or what failed; null: the code is awaited',
    }),
    problem: Type.Optional(Type.String()),
    remedy: Type.Optional(Type.String()),
    account_id: Type.Union([Type.Integer(), Type.Null()]),
    created_at: Type.String({ format: 'date-time' }),
  },
  { $id: 'Exchange' },
)

const PROBLEMS = [
  'bad_request',
  'unauthorized',
  'forbidden',
  'too_many_requests',
  'storage_unavailable',
  'internal_error',
] as const

/** The amoCRM guide's alternative to consent: login and API key of an administrator. */
export const exchangeRoutes: FastifyPluginAsyncTypebox<{ exchanges: Exchanges }> = async (
  app,
  { exchanges },
) => {
  app.addSchema(ExchangeSchema)
  app.addHook('onRequest', async (request) => {
    requireOperator(callerOf(request), 'exchange API keys')
  })

  app.post('/accounts/exchange-api-key', {
    schema: {
      operationId: 'exchangeApiKey',
      tags: ['onboarding'],
      summary: 'Asks for a code with a login and its API key; the provider’s server brings it',
      description:
        'Once in five minutes by user and integration; the integration must be installed. How it ended: GET /accounts/exchanges/:id.',
      body: Type.Object(
        {
          integration: IntegrationField,
          domain: DomainField,
          login: Type.String({ minLength: 3, maxLength: 200, description: 'e-mail of the user' }),
          api_key: Type.String({ minLength: 8, maxLength: 500, pattern: '^[\\x21-\\x7e]+$' }),
        },
        { additionalProperties: false },
      ),
      response: {
        202: Type.Ref('Exchange'),
        ...problems(
          ...PROBLEMS,
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
      return reply.code(202).send(toJson(await exchanges.begin(order)))
    },
  })

  app.get('/accounts/exchanges/:exchange', {
    schema: {
      operationId: 'readExchange',
      tags: ['onboarding'],
      summary: 'How the exchange of an API key ended',
      params: Type.Object({ exchange: Type.String({ format: 'uuid' }) }),
      response: { 200: Type.Ref('Exchange'), ...problems(...PROBLEMS, 'exchange_not_found') },
    },
    handler: async (request) => {
      const exchange = await exchanges.find(request.params.exchange)
      if (exchange === undefined) {
        throw new BrokerError('exchange_not_found', 'There is no exchange of this id.')
      }
      return toJson(exchange)
    },
  })
}

function toJson(exchange: Exchange): Static<typeof ExchangeSchema> {
  const { outcome } = exchange
  const isFine = outcome === null || outcome === 'connected'
  const { problem, remedy } = isFine ? {} : explainOutcome(outcome)
  return {
    id: exchange.id,
    integration: exchange.integration,
    domain: exchange.domain,
    outcome,
    ...(problem === undefined || remedy === undefined ? {} : { problem, remedy }),
    account_id: exchange.accountId,
    created_at: exchange.createdAt.toISOString(),
  }
}
