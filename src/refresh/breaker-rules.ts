import type { BreakerFailure } from '../db/tables.ts'

/** Failures count for so long. */
const WINDOW_MS = 60_000
/** That many accounts whose answer is missing, or that failed in whatever way, are no accident any more. */
const AMBIGUOUS_ACCOUNTS = 2
const FAILED_ACCOUNTS = 3
/** The longest time of being open, in first ones: 30 s grow to 10 min. It is also how long an opening is remembered. */
const MAX_TIMES = 20
/** So that the breakers of two platforms on one machine do not try at the same moment for ever. */
const JITTER_SHARE = 0.2

/** A breaker's row. */
export interface Breaker {
  failures: BreakerFailure[]
  openUntil: Date | null
  openedAt: Date | null
  reason: string | null
  openings: number
  closedAt: Date | null
}

export interface Moment {
  /** PostgreSQL's time, milliseconds since 1970. */
  nowMs: number
  /** How long it stays open at first. */
  breakerMs: number
}

/**
 * Two answers of different accounts that may have spent their tokens, or failures of three, within a minute, open it. One that is
 * open is not moved by what was on its way.
 */
export function afterFailure(breaker: Breaker, failure: BreakerFailure, moment: Moment): Breaker {
  if (breaker.openUntil !== null) return breaker
  const isRecent = ({ atMs, account }: BreakerFailure) =>
    atMs > moment.nowMs - WINDOW_MS && account !== failure.account
  const known = breaker.failures.find(({ account }) => account === failure.account)
  const isAmbiguous =
    failure.isAmbiguous || (known?.isAmbiguous === true && known.atMs > moment.nowMs - WINDOW_MS)
  const failures = [...breaker.failures.filter(isRecent), { ...failure, isAmbiguous }]
  const ambiguous = failures.filter((each) => each.isAmbiguous)
  const isOpening = ambiguous.length >= AMBIGUOUS_ACCOUNTS || failures.length >= FAILED_ACCOUNTS
  const counted = { ...breaker, failures }
  return isOpening ? openFor(counted, failure.code, moment) : counted
}

/** The canary came to nothing: open for twice as long. */
export function afterFailedCanary(breaker: Breaker, code: string, moment: Moment): Breaker {
  return breaker.openUntil === null ? breaker : openFor(breaker, code, moment)
}

/**
 * The provider works. What failed unspent before is forgotten; an answer that may have spent its token still counts, or a
 * provider that loses every other pair would go on losing them. Only the canary closes an open breaker.
 */
export function afterSuccess(breaker: Breaker, isCanary: boolean, { nowMs }: Moment): Breaker {
  if (breaker.openUntil === null) {
    const failures = breaker.failures.filter(({ isAmbiguous }) => isAmbiguous)
    return failures.length === breaker.failures.length ? breaker : { ...breaker, failures }
  }
  if (!isCanary) return breaker
  return {
    ...breaker,
    failures: [],
    openUntil: null,
    openedAt: null,
    reason: null,
    closedAt: new Date(nowMs),
  }
}

/** Opened again soon after it closed, it goes on where it stopped: a provider that fails now and then gets ever fewer sends. */
function openFor(breaker: Breaker, reason: string, { nowMs, breakerMs }: Moment): Breaker {
  const isForgotten =
    breaker.openUntil === null &&
    (breaker.closedAt === null || breaker.closedAt.getTime() < nowMs - MAX_TIMES * breakerMs)
  const openings = isForgotten ? 1 : breaker.openings + 1
  const spread = 1 - JITTER_SHARE / 2 + Math.random() * JITTER_SHARE
  const openMs = breakerMs * Math.min(MAX_TIMES, 2 ** Math.min(openings - 1, MAX_TIMES)) * spread
  return {
    ...breaker,
    failures: [],
    openUntil: new Date(nowMs + openMs),
    openedAt: breaker.openedAt ?? new Date(nowMs),
    reason,
    openings,
  }
}
