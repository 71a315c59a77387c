import { type Static, Type } from 'typebox'
import { explainFailure } from '../refresh/failures.ts'
import type { CheckLine } from './check.ts'
import type { AccountCheck } from './checks.ts'
import { endingOf } from './ending.ts'
import type { Removed } from './removal.ts'
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
    shadow: Type.Boolean({
      description: 'imported while another service refreshes it: served, and not rotated here',
    }),
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
    warning: Type.Union(
      [
        Type.Object({
          code: Type.String(),
          at: Time,
          problem: Type.String(),
          remedy: Type.String(),
        }),
        Type.Null(),
      ],
      { description: 'what will stop the account for good unless somebody acts' },
    ),
    created_at: Time,
  },
  { $id: 'Account' },
)

/** What everybody who may see the account is told of it. */
export function toJson(account: AccountState): Static<typeof AccountSchema> {
  const time = (date: Date | null) => date?.toISOString() ?? null
  const { lastErrorCode, lastErrorAt } = account
  const ending = endingOf(account, Date.now())
  return {
    account_id: account.accountId,
    integration: account.integration,
    domain: account.domain,
    kind: account.kind,
    status: account.status,
    paused: account.paused,
    shadow: account.shadow,
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
    warning: ending === undefined ? null : { ...ending, at: time(ending.at) },
    created_at: time(account.createdAt),
  }
}

export const CheckSchema = Type.Object({
  ok: Type.Boolean({ description: 'every check is; the exit code of `check`' }),
  account_id: Type.Integer(),
  integration: Type.String(),
  domain: Type.Union([Type.String(), Type.Null()]),
  api_url: Type.String(),
  checks: Type.Array(
    Type.Object({
      name: Type.Enum(['account', 'users', 'pipelines', 'leads', 'refresh_token']),
      ok: Type.Boolean(),
      status: Type.Union([Type.Integer(), Type.Null()], {
        description: 'of the HTTP answer; null: none, or not told',
      }),
      ms: Type.Integer(),
      count: Type.Optional(Type.Integer({ description: 'of leads: those on the first page' })),
      more: Type.Optional(Type.Boolean({ description: 'there are further pages' })),
      note: Type.Optional(Type.String()),
      remedy: Type.Optional(Type.String()),
    }),
  ),
})

export function checkToJson(check: AccountCheck): Static<typeof CheckSchema> {
  const lines: CheckLine[] = check.lines
  return {
    ok: lines.every(({ ok }) => ok),
    account_id: check.accountId,
    integration: check.integration,
    domain: check.domain,
    api_url: check.apiUrl,
    checks: lines,
  }
}

export const RemovedSchema = Type.Object({
  account_id: Type.Integer(),
  integration: Type.String(),
  domain: Type.Union([Type.String(), Type.Null()]),
  removed: Type.Array(Type.String()),
  remains: Type.Array(Type.String()),
})

export function removedToJson(removed: Removed): Static<typeof RemovedSchema> {
  const { accountId, integration, domain, parkedPairs, pairsInInbox } = removed
  return {
    account_id: accountId,
    integration,
    domain,
    removed: [
      'the account with its access and refresh token',
      `${parkedPairs + pairsInInbox} earlier or unaccepted pairs of it`,
      'every sealed copy of its pairs in Redis and on the replicas’ disks, within one sweep (10 s); of a store that is down, once it is back',
      'what a refresh that is under way brings: it is dropped',
    ],
    remains: [
      'the integration in the account: remove it there, the provider has no call that revokes tokens',
      'tokens that services were handed: they live until they expire',
      'the audit, and the ledger of refreshes without tokens',
      'grants on the account: they hold again when it is onboarded again',
    ],
  }
}
