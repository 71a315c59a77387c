import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import {
  ExchangeCodeBody,
  ListOnboardingsQuery,
  OnboardingPageSchema,
  OnboardingParams,
  OnboardingSchema,
} from '../../contract/onboarding.ts'
import { BrokerError } from '../../lib/errors.ts'
import { Type } from '../../lib/type.ts'
import type { InboxRow } from '../../onboarding/inbox.ts'
import type { Onboarding } from '../../onboarding/service.ts'
import { Secret } from '../../vault/secret.ts'
import { readInstant } from '../instant.ts'
import { auditing, beginAct } from '../plugins/audit.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { explainOutcome } from './outcome-texts.ts'
import { onboardingToJson } from './to-json.ts'

/** The provider answers within seconds. A caller that waits longer asks again. */
const EXCHANGE_WAIT_MS = 20_000
const PAGE = 100

/** Takes authorization codes from operators, and shows the outcome of each onboarding. */
export const inboxRoutes: FastifyPluginAsyncTypebox<{ onboarding: Onboarding }> = async (
  app,
  { onboarding },
) => {
  app.addSchema(OnboardingSchema)

  app.post('/accounts/exchange-code', {
    schema: {
      operationId: 'exchangeCode',
      tags: ['onboarding'],
      summary: 'Exchanges an authorization code that an operator has; it is presented only once',
      body: ExchangeCodeBody,
      response: {
        200: Type.Ref('Onboarding'),
        202: { ...Type.Ref('Onboarding'), description: 'still in progress: GET /onboardings/:id' },
        ...problems(
          ...COMMON_PROBLEMS,
          'integration_not_found',
          'onboarding_failed',
          'key_missing',
        ),
      },
    },
    handler: async (request, reply) => {
      const { integration, domain, code } = request.body
      auditing(request, { detail: { integration } })
      const order = { integration, domain: domain.toLowerCase(), code: new Secret(code) }
      const id = await onboarding.exchangeCode(order, beginAct(request))
      const row = await onboarding.progress(id, EXCHANGE_WAIT_MS)
      if (row === undefined) throw new BrokerError('onboarding_not_found', 'It was removed.')
      requireSuccess(row)
      return reply.code(row.outcome === null ? 202 : 200).send(onboardingToJson(row))
    },
  })

  app.get('/onboardings', {
    schema: {
      operationId: 'listOnboardings',
      tags: ['onboarding'],
      summary: 'Returns all onboardings and their outcomes, the newest first',
      description:
        'A consent that was refused before its code was stored has the id of its link. Only the last one of a link is shown.',
      querystring: ListOnboardingsQuery,
      response: { 200: OnboardingPageSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async (request) => {
      const before = readInstant('before', request.query.before)
      const rows = await onboarding.list(before, PAGE)
      const last = rows.length === PAGE ? rows.at(-1) : undefined
      return {
        onboardings: rows.map(onboardingToJson),
        next: last === undefined ? null : last.receivedAt.toISOString(),
      }
    },
  })

  app.get('/onboardings/:onboarding', {
    schema: {
      operationId: 'readOnboarding',
      tags: ['onboarding'],
      summary: 'Returns one onboarding and its outcome',
      params: OnboardingParams,
      response: {
        200: Type.Ref('Onboarding'),
        ...problems(...COMMON_PROBLEMS, 'onboarding_not_found'),
      },
    },
    handler: async (request) => {
      const row = await onboarding.find(request.params.onboarding)
      if (row === undefined) {
        throw new BrokerError('onboarding_not_found', 'There is no onboarding with this id.')
      }
      return onboardingToJson(row)
    },
  })
}

/** Throws `onboarding_failed` if the onboarding has failed. */
function requireSuccess({ id, outcome }: InboxRow): void {
  if (outcome === null || outcome === 'connected' || outcome === 'superseded') return
  const { problem, remedy } = explainOutcome(outcome)
  throw new BrokerError('onboarding_failed', problem, {
    members: { outcome, remedy, onboarding_id: id },
  })
}
