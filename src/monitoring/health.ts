import type { Config } from '../config/load-config.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { RedisWatch } from '../db/redis-watch.ts'
import type { Integrations } from '../integrations/directory.ts'
import type { Keys } from '../keys/service.ts'

/** How long lost callbacks are reported, so that somebody sees it. */
const TURNED_AWAY_SHOWN_MS = 3_600_000

type Phase = 'starting' | 'unmigrated' | 'ready' | 'draining'

interface HealthDependencies {
  mode: Config['mode']
  isHeld: boolean
  heartbeat: Heartbeat
  integrations: Integrations
  redis: RedisWatch | null
  keys: Keys
  /** Where responses of the provider are written. */
  spool: { health: { problem(): string | null } }
}

/** Knows the phase of this process, and what does not work. */
export class Health {
  phase: Phase = 'starting'
  /** Deployment that the database belongs to, if it is another one. Nothing is refreshed then. */
  boundTo: string | null = null
  #turnedAwayAtMs = Number.NEGATIVE_INFINITY
  #turnedAway = 0
  /** What is wrong with the audit. Null: nothing was noticed. */
  auditProblem: string | null = null
  /** Endpoints that the broker has disabled. */
  disabledEndpoints: readonly { name: string; reason: string }[] = []
  /** What is wrong with the escrow. Null: nothing, or there is none. */
  escrowProblem: string | null = null
  readonly #with: HealthDependencies

  constructor(dependencies: HealthDependencies) {
    this.#with = dependencies
  }

  /** Returns the content of `/health/ready`. */
  readiness() {
    const { mode } = this.#with
    const degraded = this.phase === 'ready' ? this.#degraded() : []
    const ready = degraded.length === 0 ? ('ok' as const) : ('degraded' as const)
    return { status: this.phase === 'ready' ? ready : this.phase, mode, degraded }
  }

  /** Counts a call of the provider's server that found no place and is not repeated. */
  onTurnedAway(): void {
    this.#turnedAway += 1
    this.#turnedAwayAtMs = performance.now()
  }

  /**
   * Returns the names of the parts that do not work: the first word of each line of `degraded`. A
   * breaker, an integration and an endpoint report their own events, and holding is intended.
   *
   * @returns undefined while the process starts or drains
   */
  degradedParts(): string[] | undefined {
    if (this.phase !== 'ready') return undefined
    const parts = this.#degraded().map((line) => /^[a-z]+/.exec(line)?.[0] ?? '')
    return parts.filter(
      (part) => !['breaker', 'integration', 'endpoint', 'hold', ''].includes(part),
    )
  }

  #degraded(): string[] {
    const { isHeld, heartbeat, integrations, redis, keys, spool } = this.#with
    const found = []
    if (isHeld) found.push('hold: this process sends nothing and serves existing tokens')
    const { state, reason, remedy } = heartbeat.storage
    if (state === 'unreachable')
      found.push(
        `postgres: does not answer (${reason}); cached tokens are served until they expire. ${remedy}`,
      )
    else if (state === 'read_only')
      found.push(
        `postgres: read-only (${reason}); nothing is refreshed, tokens are served until they expire. ${remedy}`,
      )
    else if (!heartbeat.isTrusted())
      found.push('listen: notifications are late; every read asks PostgreSQL')
    if (redis?.reason !== undefined)
      found.push(`redis: ${redis.reason}; only the claim in PostgreSQL coordinates refreshes`)
    if (performance.now() - this.#turnedAwayAtMs < TURNED_AWAY_SHOWN_MS) {
      found.push(
        `callbacks: ${this.#turnedAway} found no place on disk and were lost; the provider does not repeat them`,
      )
    }
    if (this.boundTo !== null) {
      found.push(`deployment: the database belongs to "${this.boundTo}", nothing is refreshed`)
    }
    if (this.auditProblem !== null) found.push(`audit: ${this.auditProblem}`)
    for (const { name, reason } of this.disabledEndpoints) {
      found.push(`endpoint ${name}: disabled (${reason}), it gets no events; enable it again`)
    }
    if (this.escrowProblem !== null) {
      found.push(`escrow: ${this.escrowProblem}; pairs are stored in the database only`)
    }
    const problem = spool.health.problem()
    if (problem !== null) found.push(`journal: ${problem}`)
    for (const key of keys.missing) {
      found.push(`key ${key}: not in ENCRYPTION_KEYS; values sealed with it cannot be opened`)
    }
    for (const { key, reason, openedAt, openUntil } of integrations.openBreakers()) {
      const times = `open since ${openedAt.toISOString()}, next try at ${openUntil.toISOString()}`
      found.push(`breaker ${key}: nothing is sent after ${reason}; ${times}`)
    }
    for (const { name, isAltered, state, stateReason, lastErrorCode } of integrations.all()) {
      if (isAltered) {
        found.push(`integration ${name}: altered in the database, nothing is sent`)
      } else if (state !== 'running')
        found.push(`integration ${name}: ${state}${because(stateReason)}`)
      else if (lastErrorCode !== null) found.push(`integration ${name}: ${lastErrorCode}`)
    }
    return found
  }
}

function because(reason: string | null): string {
  return reason === null ? '' : `, ${reason}`
}
