import type { Static } from 'typebox'
import type { AccountCheck } from '../../accounts/account-checks.ts'
import { endingOf } from '../../accounts/expiry-watch.ts'
import type { Removed } from '../../accounts/removal.ts'
import type { AccountState } from '../../accounts/store.ts'
import type { AccountSchema, CheckSchema, RemovedSchema } from '../../contract/accounts.ts'
import { explainFailure } from '../../provider/failures.ts'

/** Renders an account for everybody who may see it. */
export function accountToJson(account: AccountState): Static<typeof AccountSchema> {
  const time = (date: Date | null) => date?.toISOString() ?? null
  const { lastErrorCode, lastErrorAt } = account
  const ending = endingOf(account, Date.now())
  return {
    account_id: account.accountId,
    integration: account.integration,
    domain: account.domain,
    label: account.label,
    kind: account.kind,
    status: account.status,
    status_since: time(account.statusSince),
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

/** Renders the result of a check. */
export function checkToJson(check: AccountCheck): Static<typeof CheckSchema> {
  return {
    ok: check.lines.every(({ ok }) => ok),
    account_id: check.accountId,
    integration: check.integration,
    domain: check.domain,
    api_url: check.apiUrl,
    checks: check.lines,
  }
}

/** Renders what a removal deleted, and what still exists elsewhere. */
export function removedToJson(removed: Removed): Static<typeof RemovedSchema> {
  const { accountId, integration, domain, parkedPairs, pairsInInbox } = removed
  return {
    account_id: accountId,
    integration,
    domain,
    removed: [
      'the account with its access and refresh token',
      `${parkedPairs + pairsInInbox} earlier or unaccepted pairs of the account`,
      'every sealed copy of its pairs in Redis and on the replicas’ disks, within one sweep (10 s); a store that is down is cleared when it is back',
      'the result of a refresh in progress, which is dropped',
    ],
    remains: [
      'the integration in the account: remove it there, because the provider has no call that revokes tokens',
      'tokens that services already have: they live until they expire',
      'the audit, and the history of refreshes without tokens',
      'grants on the account: they apply again when it is connected again',
    ],
  }
}
