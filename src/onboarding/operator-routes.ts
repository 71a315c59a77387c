import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { requireOperator } from '../clients/caller.ts'
import { BrokerError } from '../errors.ts'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { readInstant } from '../plugins/instant.ts'
import { problems } from '../plugins/problems.ts'
import { Secret } from '../vault/secret.ts'
import type { InboxRow } from './inbox.ts'
import { explainOutcome } from './outcomes.ts'
import { DomainField, IntegrationField, OnboardingSchema, toJson } from './schemas.ts'
import type { Onboarding } from './service.ts'

/** The provider answers within seconds; who waits longer asks again. */
const EXCHANGE_WAIT_MS = 20_000
const PAGE = 100

const PROBLEMS = [
  'unauthorized',
  'forbidden',
  'bad_request',
  'too_many_requests',
  'storage_unavailable',
  'internal_error',
] as const

/** Operators bring a code by hand, and see how each onboarding ended. */
export const onboardingOperatorRoutes: FastifyPluginAsyncTypebox<{
  onboarding: Onboarding
}> = async (app, { onboarding }) => {
  app.addSchema(OnboardingSchema)
  app.addHook('onRequest', async (request) => {
    requireOperator(callerOf(request), 'see and make onboardings')
  })

  app.post('/accounts/exchange-code', {
    schema: {
      operationId: 'exchangeCode',
      tags: ['onboarding'],
      summary: 'Exchanges an authorization code that an operator has; it is presented once',
      body: Type.Object(
        {
          integration: IntegrationField,
          domain: DomainField,
          code: Type.String({ minLength: 10, maxLength: 8192, pattern: '^[\\x21-\\x7e]+$' }),
        },
        { additionalProperties: false },
      ),
      response: {
        200: Type.Ref('Onboarding'),
        202: { ...Type.Ref('Onboarding'), description: 'still under way: GET /onboardings/:id' },
        ...problems(...PROBLEMS, 'integration_not_found', 'onboarding_failed', 'key_missing'),
      },
    },
    handler: async (request, reply) => {
      const { integration, domain, code } = request.body
      auditing(request, { detail: { integration } })
      const order = { integration, domain: domain.toLowerCase(), code: new Secret(code) }
      const id = await onboarding.exchangeCode(order)
      const row = await onboarding.progress(id, EXCHANGE_WAIT_MS)
      if (row === undefined) throw new BrokerError('onboarding_not_found', 'It is gone.')
      if (isFailed(row)) throw failed(row)
      return reply.code(row.outcome === null ? 202 : 200).send(toJson(row))
    },
  })

  app.get('/onboardings', {
    schema: {
      operationId: 'listOnboardings',
      tags: ['onboarding'],
      summary: 'What came in and how it ended, the newest first',
      querystring: Type.Object(
        {
          before: Type.Optional(
            Type.String({ format: 'date-time', description: '`next` of the page before' }),
          ),
        },
        { additionalProperties: false },
      ),
      response: {
        200: Type.Object({
          onboardings: Type.Array(Type.Ref('Onboarding')),
          next: Type.Union([Type.String(), Type.Null()]),
        }),
        ...problems(...PROBLEMS),
      },
    },
    handler: async (request) => {
      const before = readInstant('before', request.query.before)
      const rows = await onboarding.list(before, PAGE)
      const last = rows.length === PAGE ? rows.at(-1) : undefined
      return {
        onboardings: rows.map(toJson),
        next: last === undefined ? null : last.receivedAt.toISOString(),
      }
    },
  })

  app.get('/onboardings/:onboarding', {
    schema: {
      operationId: 'readOnboarding',
      tags: ['onboarding'],
      summary: 'How one onboarding ended',
      params: Type.Object({ onboarding: Type.String({ format: 'uuid' }) }),
      response: {
        200: Type.Ref('Onboarding'),
        ...problems(...PROBLEMS, 'onboarding_not_found'),
      },
    },
    handler: async (request) => {
      const row = await onboarding.progress(request.params.onboarding, 0)
      if (row === undefined) {
        throw new BrokerError('onboarding_not_found', 'There is no onboarding of this id.')
      }
      return toJson(row)
    },
  })
}

function isFailed({ outcome }: InboxRow): boolean {
  return outcome !== null && outcome !== 'connected' && outcome !== 'superseded'
}

function failed({ id, outcome }: InboxRow): BrokerError {
  const { problem, remedy } = explainOutcome(outcome ?? '')
  return new BrokerError('onboarding_failed', problem, {
    members: { outcome: outcome ?? '', remedy, onboarding_id: id },
  })
}
