import type { Static } from 'typebox'
import type { Attempt } from '../../accounts/attempts.ts'
import type { Forecast } from '../../accounts/forecast.ts'
import type { AttemptsSchema, ForecastSchema } from '../../contract/account-history.ts'

/** Renders a refresh attempt. */
export function attemptToJson(attempt: Attempt): Static<typeof AttemptsSchema>['attempts'][number] {
  return {
    id: attempt.id,
    generation: attempt.generation,
    replica: attempt.owner,
    purpose: attempt.purpose,
    claimed_at: attempt.claimedAt.toISOString(),
    sent_at: attempt.sentAt?.toISOString() ?? null,
    sends: attempt.sendCount,
    finished_at: attempt.finishedAt?.toISOString() ?? null,
    outcome: attempt.outcome,
    reason: attempt.outcomeCode,
    steps: attempt.steps.map(({ kind, at, owner, result }) => ({
      kind,
      at: new Date(at).toISOString(),
      replica: owner,
      ...(result === undefined ? {} : { result }),
    })),
  }
}

/** Renders a forecast. */
export function forecastToJson({ at, integrations }: Forecast): Static<typeof ForecastSchema> {
  return {
    at: at.toISOString(),
    integrations: integrations.map((each) => ({
      integration: each.integration,
      state: each.state,
      pace_per_second: each.pacePerSecond,
      backlog: each.backlog,
      oldest_due_seconds: Math.round(each.oldestDueSeconds),
      clears_at: each.clearsAt?.toISOString() ?? null,
      hours: each.hours.map(({ from, ...hour }) => ({ from: from.toISOString(), ...hour })),
    })),
  }
}
