import type { Redis } from 'ioredis'
import type { Config } from '../config.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { Integrations } from '../integrations/service.ts'
import type { Keys } from '../keys/service.ts'

export type Phase = 'starting' | 'unmigrated' | 'ready' | 'draining'

export interface HealthDependencies {
  mode: Config['mode']
  isHeld: boolean
  heartbeat: Heartbeat
  integrations: Integrations
  redis: Redis | null
  keys: Keys
}

/** Where this process is between start and end, and what it has to do without. */
export class Health {
  phase: Phase = 'starting'
  /** Set when the database belongs to another deployment: nothing is refreshed then. */
  boundTo: string | null = null
  readonly #with: HealthDependencies

  constructor(dependencies: HealthDependencies) {
    this.#with = dependencies
  }

  readiness() {
    const { mode } = this.#with
    const degraded = this.phase === 'ready' ? this.#degraded() : []
    const ready = degraded.length === 0 ? ('ok' as const) : ('degraded' as const)
    return { status: this.phase === 'ready' ? ready : this.phase, mode, degraded }
  }

  #degraded(): string[] {
    const { mode, isHeld, heartbeat, integrations, redis, keys } = this.#with
    const found = []
    if (isHeld) found.push('hold: this process sends nothing and serves what it has')
    if (!heartbeat.isDatabaseUp()) found.push('postgres: held tokens are served until they expire')
    else if (!heartbeat.isTrusted()) found.push('listen: every read asks PostgreSQL')
    if (mode === 'standalone') found.push('redis: not configured, the claim alone decides')
    if (redis !== null && redis.status !== 'ready') found.push('redis: the claim alone decides')
    if (this.boundTo !== null) {
      found.push(`deployment: the database belongs to "${this.boundTo}", nothing is refreshed`)
    }
    for (const key of keys.missing) {
      found.push(`key ${key}: not in ENCRYPTION_KEYS, what it sealed cannot be opened`)
    }
    for (const { key, reason, openedAt, openUntil } of integrations.openBreakers()) {
      const times = `open since ${openedAt.toISOString()}, tries again at ${openUntil.toISOString()}`
      found.push(`breaker ${key}: nothing is sent after ${reason}; ${times}`)
    }
    for (const { name, state, stateReason, lastErrorCode } of integrations.all()) {
      if (state !== 'running') found.push(`integration ${name}: ${state}${because(stateReason)}`)
      else if (lastErrorCode !== null) found.push(`integration ${name}: ${lastErrorCode}`)
    }
    return found
  }
}

function because(reason: string | null): string {
  return reason === null ? '' : `, ${reason}`
}
