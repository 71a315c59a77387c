import { type Static, Type } from 'typebox'
import { explainFailure } from '../refresh/failures.ts'
import type { AccountState } from './store.ts'

const Time = Type.Union([Type.String({ format: 'date-time' }), Type.Null()])

export const AccountSchema = Type.Object(
  {
    account_id: Type.Integer(),
    integration: Type.String(),
    domain: Type.Union([Type.String(), Type.Null()]),
    kind: Type.Enum(['oauth', 'long_lived']),
    status: Type.Enum(['pending', 'active', 'reauth_required', 'disconnected']),
    paused: Type.Boolean(),
    generation: Type.Integer(),
    expires_at: Time,
    refresh_at: Time,
    next_attempt_at: Time,
    refresh_token_expires_at: Time,
    last_refresh_at: Time,
    failed_attempts: Type.Integer(),
    last_error: Type.Union([
      Type.Object({ code: Type.String(), at: Time, problem: Type.String(), remedy: Type.String() }),
      Type.Null(),
    ]),
    created_at: Time,
  },
  { $id: 'Account' },
)

/** What everybody who may see the account is told of it. */
export function toJson(account: AccountState): Static<typeof AccountSchema> {
  const time = (date: Date | null) => date?.toISOString() ?? null
  const { lastErrorCode, lastErrorAt } = account
  return {
    account_id: account.accountId,
    integration: account.integration,
    domain: account.domain,
    kind: account.kind,
    status: account.status,
    paused: account.paused,
    generation: account.generation,
    expires_at: time(account.expiresAt),
    refresh_at: time(account.refreshAt),
    next_attempt_at: time(account.nextAttemptAt),
    refresh_token_expires_at: time(account.refreshTokenExpiresAt),
    last_refresh_at: time(account.lastRefreshAt),
    failed_attempts: account.failedAttempts,
    last_error:
      lastErrorCode === null
        ? null
        : { code: lastErrorCode, at: time(lastErrorAt), ...explainFailure(lastErrorCode) },
    created_at: time(account.createdAt),
  }
}
