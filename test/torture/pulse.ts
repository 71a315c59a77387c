import { setTimeout as delay } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../src/db/tables.ts'
import { withTimeout } from '../../src/lib/with-timeout.ts'

/** The columns of an account's row that the harness follows during the run. */
export interface Vitals {
  integration: string
  generation: number
  status: string
  lastErrorCode: string | null
  refreshAtMs: number
  expiresAtMs: number
  issuedAtMs: number
  failedAttempts: number
}

/** Active accounts, and those near their expiry by integration. */
export interface NearExpiry {
  atMs: number
  active: number
  near: ReadonlyMap<string, number>
}

/** Time between two beats. */
export const BEAT_MS = 500

/** Reads all accounts twice a second, and resolves the waits for them. */
export class Pulse {
  now: ReadonlyMap<number, Vitals> = new Map()
  /** Generations that stood for two pairs, also if a failover has forgotten one of them. */
  readonly usedTwice = new Set<number>()
  /** How many accounts had a tenth of their token's life left or less, at each beat. */
  readonly nearExpiry: NearExpiry[] = []
  readonly #fingerprints = new Map<number, string>()
  readonly #db: Kysely<Tables>
  readonly #watchers = new Set<() => void>()
  readonly #closing = new AbortController()
  #running: Promise<void> | undefined

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async start(): Promise<void> {
    await this.beat()
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async beat(): Promise<void> {
    const { rows } = await sql<{ account: number; fingerprint: string } & Vitals>`
      select "accountId" as account, integration, generation, "refreshTokenFingerprint" as fingerprint, status, "lastErrorCode",
        (extract(epoch from "refreshAt") * 1000)::float8 as "refreshAtMs",
        (extract(epoch from "expiresAt") * 1000)::float8 as "expiresAtMs",
        (extract(epoch from "issuedAt") * 1000)::float8 as "issuedAtMs", "failedAttempts"
      from amo_tokens`.execute(this.#db)
    this.now = new Map(rows.map(({ account, ...vitals }) => [account, vitals]))
    for (const { generation, fingerprint } of rows) {
      const known = this.#fingerprints.get(generation) ?? fingerprint
      this.#fingerprints.set(generation, known)
      if (known !== fingerprint) this.usedTwice.add(generation)
    }
    this.nearExpiry.push(countNearExpiry([...this.now.values()]))
    for (const watch of this.#watchers) watch()
  }

  /**
   * Waits until the account meets a condition. Returns the milliseconds, or undefined after the
   * limit.
   */
  async until(
    account: number,
    fits: (vitals: Vitals | undefined) => boolean,
    limitMs: number,
  ): Promise<number | undefined> {
    const beganMs = Date.now()
    const { promise, resolve } = Promise.withResolvers<number>()
    const watch = () => {
      if (fits(this.now.get(account))) resolve(Date.now() - beganMs)
    }
    this.#watchers.add(watch)
    try {
      return await withTimeout(promise, limitMs, undefined)
    } finally {
      this.#watchers.delete(watch)
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await delay(BEAT_MS, undefined, { signal }).catch(() => {})
      // No fault touches the harness's own connection to the server, but a restart of the server
      // does.
      await this.beat().catch(() => {})
    }
  }
}

function countNearExpiry(all: Vitals[]): NearExpiry {
  const atMs = Date.now()
  const active = all.filter(({ status }) => status === 'active')
  const near = new Map<string, number>()
  for (const { integration, refreshAtMs, expiresAtMs, issuedAtMs } of active) {
    const isNear = refreshAtMs <= atMs && expiresAtMs - atMs <= (expiresAtMs - issuedAtMs) / 10
    near.set(integration, (near.get(integration) ?? 0) + (isNear ? 1 : 0))
  }
  return { atMs, active: active.length, near }
}
