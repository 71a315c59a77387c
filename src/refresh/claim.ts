import type { Claim } from '../claims/claim.ts'
import { claimAccount } from '../claims/claim-account.ts'
import type { ClaimContext } from '../claims/claim-context.ts'
import { type ClaimRejection, findClaimRejection } from '../claims/claim-rejection.ts'
import { leaseMs } from '../claims/lease.ts'
import type { Lane } from '../claims/pace.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { failpoint } from '../lib/failpoint.ts'
import { inSpan } from '../lib/spans.ts'
import { withTimeout } from '../lib/with-timeout.ts'
import type { RefreshLock } from './lock.ts'
import type { Waiters } from './waiters.ts'

/**
 * How often to retry while another replica has the claim, or the pace has no room. A change of the
 * account wakes earlier.
 */
const RETRY_MS = 500
/** By then the owner of the lock has finished or died. A retry finds what it did not notify of. */
const LOCK_WAIT_MS = 2_000

interface Claimer {
  claimContext: ClaimContext
  lock: RefreshLock
  waiters: Waiters
  isStopping: () => boolean
}

type ClaimResult =
  | { kind: 'claimed'; claim: Claim; lock: AsyncDisposable }
  | { kind: 'rejected'; reason: 'stopping' | ClaimRejection['reason'] }

/**
 * Step "claim": takes the Redis lock and claims the account. While another replica has either,
 * waits for a change of the account and tries again, for at most one lease. The caller disposes of
 * the lock.
 */
export async function claimWithLock(
  { claimContext, lock, waiters, isStopping }: Claimer,
  key: AccountKey,
  generation: number,
  lane: Lane,
): Promise<ClaimResult> {
  const { clock } = claimContext
  const endMs = clock.nowMs() + leaseMs(claimContext)
  for (let isFirst = true; clock.nowMs() < endMs; isFirst = false) {
    const changed = waiters.next(key)
    const result = isFirst ? await tryLock(lock, key) : ({ state: 'unavailable' } as const)
    if (result.state === 'locked') {
      await withTimeout(changed, LOCK_WAIT_MS, undefined, clock)
      continue
    }
    await using taken = new AsyncDisposableStack()
    if (result.state === 'taken') {
      taken.use(result.lock)
      failpoint('lock_taken', key)
    }
    if (isStopping()) return { kind: 'rejected', reason: 'stopping' }
    const claim = await tryClaim(claimContext, key, generation, lane)
    if (claim !== undefined) {
      failpoint('claimed', claim)
      return { kind: 'claimed', claim, lock: taken.move() }
    }
    const rejection = await findClaimRejection(claimContext, key, generation)
    if (!isPassing(rejection)) return { kind: 'rejected', reason: rejection.reason }
    await withTimeout(changed, RETRY_MS, undefined, clock)
  }
  return { kind: 'rejected', reason: 'claimed' }
}

function tryLock(lock: RefreshLock, key: AccountKey) {
  return inSpan(
    'amo.refresh.lock',
    {},
    () => lock.tryTake(key),
    ({ state }) => state,
  )
}

function tryClaim(...order: Parameters<typeof claimAccount>) {
  return inSpan(
    'amo.refresh.claim',
    {},
    () => claimAccount(...order),
    (claim) => (claim === undefined ? 'rejected' : 'claimed'),
  )
}

/** An expired claim is not worth waiting for: it is reclaimed only after the settle time. */
function isPassing(rejection: ClaimRejection): boolean {
  if (rejection.reason === 'claimed') return rejection.leaseLeftMs > 0
  return rejection.reason === 'paced'
}
