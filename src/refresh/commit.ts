import { logFields } from '../claims/claim.ts'
import { failpoint } from '../lib/failpoint.ts'
import { FailureChange } from '../lib/failure-change.ts'
import { inSpan } from '../lib/spans.ts'
import { type CommitResult, commitPair } from '../pairs/commit-pair.ts'
import type { Fence } from '../pairs/fence.ts'
import {
  type JournaledResponse,
  pairOfResponse,
  type ReceivedPair,
} from '../pairs/received-pair.ts'
import type { RefreshContext } from './context.ts'

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 5_000

/**
 * Step "commit": puts the pair into the row, and repeats that for as long as the process lives
 * (R12). The journal has the response until a newer pair is committed.
 */
export async function commitWithRetry(
  context: RefreshContext,
  received: ReceivedPair,
): Promise<CommitResult> {
  const { clock } = context.claimContext
  const failure = new FailureChange()
  for (let waitMs = FIRST_RETRY_MS; ; waitMs = 2 * waitMs) {
    try {
      return await commitOnce(context, received)
    } catch (err) {
      const fields = { err, ...logFields(received) }
      const level = failure.isNew(err) ? 'error' : 'debug'
      context.process.log[level](fields, 'refreshed token pair not stored yet')
      await clock.sleep(Math.min(waitMs, MAX_RETRY_MS))
    }
  }
}

/** Commits a pair that the journal has as well. Throws when the database fails. */
export async function commitOnce(
  context: RefreshContext,
  received: ReceivedPair,
): Promise<CommitResult> {
  const { process, responseJournal } = context
  const { log } = process
  const before = responseJournal.timesReopened
  const hadGap = () => responseJournal.timesReopened !== before
  await responseJournal.beforeCommit(received)
  failpoint('committing', received)
  const result = await inSpan(
    'amo.refresh.commit',
    { ...logFields(received), attempt: received.attemptId },
    () => commitPair(context.commitContext, received),
    ({ result }) => result,
  )
  failpoint('committed', received)
  log[LEVELS[result.result]]({ ...logFields(received), ...result }, 'refreshed token pair stored')
  // Not waited for: nobody who wants the new token waits for a disk.
  const tidied = tidyJournal(context, received, result, hadGap)
  process.inFlight.track(tidied.then(() => failpoint('tidied', received)))
  if (result.result === 'committed') process.inFlight.track(clearRefusal(context, received))
  return result
}

const LEVELS = {
  committed: 'info',
  already: 'debug',
  replaced: 'debug',
  parked: 'error',
  foreign: 'error',
  not_ours: 'warn',
  removed: 'warn',
} as const

/**
 * Commits the journaled response to this very token, if there is one. Throws when a store does not
 * answer, or the database fails: a store that does not answer may have a response (T3).
 * @returns false when the journal has no pair for the token.
 */
export async function commitJournaled(context: RefreshContext, fence: Fence): Promise<boolean> {
  return commitFirst(context, fence, await context.responseJournal.find(fence))
}

/**
 * As `commitJournaled`, for a token that was never sent: a store that does not answer is skipped.
 */
export async function commitJournaledIfReachable(
  context: RefreshContext,
  fence: Fence,
): Promise<boolean> {
  const found = context.responseJournal.find(fence).catch((err) => {
    context.process.log.debug({ err, ...logFields(fence) }, 'journal not read')
    return []
  })
  return commitFirst(context, fence, await found)
}

async function commitFirst(
  context: RefreshContext,
  fence: Fence,
  responses: JournaledResponse[],
): Promise<boolean> {
  for (const response of responses) {
    const received = pairOfResponse(response)
    if (received === undefined) continue
    const { result } = await commitOnce(context, received)
    if (result === 'foreign') continue
    context.process.log.warn({ ...logFields(fence), result }, 'journaled response committed')
    return true
  }
  return false
}

/**
 * Commits a pair that arrives after the limit (T1). A refusal that arrives then means nothing,
 * because the claim may be another replica's.
 */
export function commitLateResponse(
  context: RefreshContext,
  late: Promise<ReceivedPair | undefined>,
): void {
  const { inFlight, log } = context.process
  const committed = late.then((received) => received && commitWithRetry(context, received))
  inFlight.track(committed.catch((err) => log.error({ err }, 'late response not committed')))
}

/**
 * Updates the journal after a commit. A failure here does no harm. Changes nothing after a gap that
 * opened since the commit began: a former primary may have taken the commit, and the repair of the
 * gap needs the response (T15).
 */
async function tidyJournal(
  { responseJournal, process }: RefreshContext,
  received: ReceivedPair,
  { result }: CommitResult,
  hadGap: () => boolean,
): Promise<void> {
  try {
    if (hadGap()) return
    if (result === 'removed')
      return await responseJournal.forgetOlder(received, received.generation + 1, {
        isRemoved: true,
      })
    if (result === 'replaced') return await responseJournal.forget(received)
    // The response to a parked pair stays too: a failover may forget the ledger with the rest
    // (T11).
    await responseJournal.markSettled(received)
    if (result !== 'committed') return
    // A power loss may take a response that is not flushed yet. Then the one before it is the last.
    if ((await responseJournal.flushed(received)) && !hadGap())
      await responseJournal.forgetOlder(received, received.generation)
    process.tidyFailure.hasEnded()
  } catch (err) {
    const level = process.tidyFailure.isNew(err) ? 'warn' : 'debug'
    process.log[level]({ err, ...logFields(received) }, 'journal not tidied after a commit')
  }
}

/** The provider has accepted the integration's client, whatever it said before. */
async function clearRefusal(
  { provider, process }: RefreshContext,
  { integration }: ReceivedPair,
): Promise<void> {
  try {
    await provider.credentials.recordError(integration, null)
  } catch (err) {
    process.log.warn({ err, integration }, 'refusal of an integration not cleared')
  }
}
