export interface Limits {
  /** Calls per second and integration (docs/provider.md, part 11). */
  perIntegration: number
  /** Calls per second and account (docs/provider.md, part 11). */
  perAccount: number
  /** Number of refusals within a minute that starts a block: every call gets 403 with HTML. */
  blockAfter: number
  /** Duration of a block. A real one may last hours. */
  blockMs: number
}

export type LimitResult = 'passed' | 'too_many_requests' | 'blocked'

interface Lane {
  /** Times of the calls that were accepted within the last second. */
  passed: number[]
  refused: number[]
  blockedUntil: number
}

const DEFAULTS: Limits = { perIntegration: 7, perAccount: 50, blockAfter: 10, blockMs: 60_000 }
const SECOND_MS = 1_000
const MINUTE_MS = 60_000

/**
 * Counts calls per integration and account in a sliding second. Does nothing when `limits` is
 * false.
 */
export function createLimiter(limits: Partial<Limits> | false | undefined, clock: () => number) {
  let current = resolve(limits)
  const lanes = new Map<string, Lane>()

  function set(next: Partial<Limits> | false): void {
    current = resolve(next)
    lanes.clear()
  }

  function take(clientId: string | undefined, account: string | undefined): LimitResult {
    if (current === false) return 'passed'
    const now = clock()
    const own = clientId === undefined ? undefined : lane(`integration ${clientId}`)
    const shared = account === undefined ? undefined : lane(`account ${account}`)
    if (own !== undefined && own.blockedUntil > now) return 'blocked'
    const isOver =
      isFull(own, current.perIntegration, now) || isFull(shared, current.perAccount, now)
    if (isOver) return refuse(own ?? shared, current, now)
    own?.passed.push(now)
    shared?.passed.push(now)
    return 'passed'
  }

  function lane(key: string): Lane {
    const known = lanes.get(key)
    if (known !== undefined) return known
    const made: Lane = { passed: [], refused: [], blockedUntil: 0 }
    lanes.set(key, made)
    return made
  }

  return { set, take, get: () => current }
}

function resolve(limits: Partial<Limits> | false | undefined): Limits | false {
  return limits === false ? false : { ...DEFAULTS, ...limits }
}

function isFull(lane: Lane | undefined, perSecond: number, now: number): boolean {
  if (lane === undefined) return false
  lane.passed = lane.passed.filter((at) => at > now - SECOND_MS)
  return lane.passed.length >= perSecond
}

function refuse(lane: Lane | undefined, limits: Limits, now: number): LimitResult {
  if (lane === undefined) return 'too_many_requests'
  lane.refused = [...lane.refused.filter((at) => at > now - MINUTE_MS), now]
  if (lane.refused.length <= limits.blockAfter) return 'too_many_requests'
  lane.blockedUntil = now + limits.blockMs
  lane.refused = []
  return 'blocked'
}
