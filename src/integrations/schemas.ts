import { type Static, Type } from 'typebox'
import { explainFailure } from '../refresh/failures.ts'
import type { Integration } from './service.ts'

const NAME = '^[a-z0-9][a-z0-9-]{0,62}$'
const Time = Type.String({ format: 'date-time' })

export const IntegrationParams = Type.Object({ integration: Type.String({ pattern: NAME }) })

export const IntegrationSchema = Type.Object(
  {
    name: Type.String(),
    provider: Type.Enum(['amocrm', 'kommo', 'custom']),
    sandbox_origin: Type.Union([Type.String(), Type.Null()], {
      description: 'talks to this sandbox and never to the provider',
    }),
    state: Type.Enum(['running', 'paused', 'halted'], {
      description: 'halted: it stopped itself, before it had many accounts authorized again',
    }),
    state_reason: Type.Union([Type.String(), Type.Null()]),
    last_error: Type.Union([
      Type.Object({
        code: Type.String(),
        at: Type.Union([Time, Type.Null()]),
        problem: Type.String(),
        remedy: Type.String(),
      }),
      Type.Null(),
    ]),
    breakers: Type.Array(
      Type.Object({ key: Type.String(), reason: Type.String(), opened_at: Time, open_until: Time }),
      { description: 'while there is one, nothing is sent until the provider is seen to work' },
    ),
    pace_per_second: Type.Number({ description: 'refreshes' }),
  },
  { $id: 'Integration' },
)

/** What an operator is told of an integration: nothing secret. */
export function toJson(integration: Integration): Static<typeof IntegrationSchema> {
  const { lastErrorCode: code, lastErrorAt } = integration
  return {
    name: integration.name,
    provider: integration.provider,
    sandbox_origin: integration.sandboxOrigin,
    state: integration.state,
    state_reason: integration.stateReason,
    last_error:
      code === null
        ? null
        : { code, at: lastErrorAt?.toISOString() ?? null, ...explainFailure(code) },
    breakers: integration.breakers.map(({ key, reason, openedAt, openUntil }) => ({
      key,
      reason,
      opened_at: openedAt.toISOString(),
      open_until: openUntil.toISOString(),
    })),
    pace_per_second: integration.pacePerSecond,
  }
}
