import { type Static, Type } from 'typebox'
import type { InboxRow } from './inbox.ts'
import { explainOutcome } from './outcomes.ts'

export const IntegrationField = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' })

export const DomainField = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$',
  description: 'of the account, such as demo.amocrm.ru; a bare subdomain gets the platform’s zone',
})

const Time = Type.String({ format: 'date-time' })
const StringOrNull = Type.Union([Type.String(), Type.Null()])

export const OnboardingSchema = Type.Object(
  {
    id: Type.String(),
    origin: Type.Enum(['consent', 'install', 'exchange', 'manual', 'hook'], {
      description: 'by a link, from inside the CRM, for an API key, by an operator',
    }),
    integration: Type.String(),
    host: Type.Union([Type.String(), Type.Null()], { description: 'that the code was for' }),
    outcome: Type.Union([Type.String(), Type.Null()], {
      description:
        'connected, pending (awaits approval), superseded, or what failed; null: under way',
    }),
    problem: Type.Optional(Type.String()),
    remedy: Type.Optional(Type.String()),
    account_id: Type.Union([Type.Integer(), Type.Null()]),
    domain: StringOrNull,
    received_at: Time,
    finished_at: Type.Union([Time, Type.Null()]),
  },
  { $id: 'Onboarding' },
)

/** What an operator is told of an onboarding: no code, no token. */
export function toJson(row: InboxRow): Static<typeof OnboardingSchema> {
  const { outcome } = row
  const isFine = outcome === null || outcome === 'connected'
  const { problem, remedy } = isFine ? {} : explainOutcome(outcome)
  return {
    id: row.id,
    origin: row.origin,
    integration: row.integration,
    host: row.referer,
    outcome,
    ...(problem === undefined || remedy === undefined ? {} : { problem, remedy }),
    account_id: row.accountId,
    domain: row.domain,
    received_at: row.receivedAt.toISOString(),
    finished_at: row.finishedAt?.toISOString() ?? null,
  }
}
