import type { BreakerFailure } from '../db/tables/breakers.ts'

/** How long a failure counts. */
const WINDOW_MS = 60_000
/** So many accounts whose token may be spent, or that failed in any way, open the breaker. */
const AMBIGUOUS_ACCOUNTS = 2
const FAILED_ACCOUNTS = 3
/**
 * The longest open time, as a multiple of the first: 30 s grow to 10 min. An opening is remembered
 * for as long.
 */
const MAX_TIMES = 20
/** Spreads the tries of two platforms' breakers on one machine. */
const JITTER_SHARE = 0.2

/** The state of a breaker in its row. */
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
  /** How long the breaker stays open the first time. */
  breakerMs: number
  /** From 0 to 1. Spreads the open time. */
  random: number
}

/**
 * Counts a failure. Within a minute, two accounts whose tokens may be spent, or three accounts that
 * failed in any way, open the breaker. An open breaker is not changed by responses that were on
 * their way when it opened.
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

/** Keeps the breaker open for twice as long, because the canary failed. */
export function afterFailedCanary(breaker: Breaker, code: string, moment: Moment): Breaker {
  return breaker.openUntil === null ? breaker : openFor(breaker, code, moment)
}

/**
 * Counts a success. Failures that left the token unspent are forgotten. Those that may have spent
 * it still count, because otherwise a provider that loses every other pair would go on losing them.
 * Only the canary closes an open breaker.
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

/**
 * Opens the breaker. If it was closed only recently, the open time continues to double: a provider
 * that fails now and then gets fewer and fewer sends.
 */
function openFor(breaker: Breaker, reason: string, { nowMs, breakerMs, random }: Moment): Breaker {
  const isForgotten =
    breaker.openUntil === null &&
    (breaker.closedAt === null || breaker.closedAt.getTime() < nowMs - MAX_TIMES * breakerMs)
  const openings = isForgotten ? 1 : breaker.openings + 1
  const spread = 1 - JITTER_SHARE / 2 + random * JITTER_SHARE
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
