import { setTimeout as delay } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import type { Integrations } from '../integrations/directory.ts'
import { keyText } from '../lib/account-key.ts'
import { type ProbeResult, probeAccessToken } from '../provider/probe.ts'
import type { CachedToken } from './cached-token.ts'
import { ReportLimit } from './report-limit.ts'

/**
 * `alive` answers reports that arrive up to this long after the probe began: a token that was
 * revoked later got its 401 later. Also the shortest time between two probes of one token.
 */
const INTERVAL_MS = 2_000
const REMEMBERED_MS = 60_000
const MAX_PROBES = 10_000

interface Probe {
  beganAtMs: number
  result: Promise<ProbeResult>
  isEnded: boolean
  isDead: boolean
  /** The next probe, once somebody waits for it. */
  next: Promise<Probe> | undefined
}

/** Asks the provider about reported access tokens. */
export class TokenProbes {
  readonly #integrations: Integrations
  readonly #log: Logger
  readonly #intervalMs: number
  readonly #limit = new ReportLimit()
  readonly #probes = new LRUCache<string, Probe>({ max: MAX_PROBES, ttl: REMEMBERED_MS })
  /** The number of reports that wait, by client and token. */
  readonly #waiting = new Map<string, number>()

  /** @param waitMs how long a report waits at most */
  constructor(integrations: Integrations, log: Logger, waitMs: number) {
    this.#integrations = integrations
    this.#log = log
    this.#intervalMs = Math.min(INTERVAL_MS, waitMs / 2)
  }

  /**
   * Returns whether a reported access token lives. One probe answers the reports of all clients: if
   * the token is dead, all of them; if it lives, those that arrived before the probe began or
   * shortly after, while it was running. Later reports wait for the next probe. Reports of one
   * client that wait at the same time count as one. Throws `too_many_reports`.
   */
  async probe(client: string, token: CachedToken): Promise<ProbeResult> {
    const waiter = `${client} ${keyText(token)}`
    const waiting = this.#waiting.get(waiter) ?? 0
    if (waiting === 0) this.#limit.count(client, token)
    this.#waiting.set(waiter, waiting + 1)
    try {
      const result = await this.#answer(token, performance.now())
      if (result.state === 'dead') this.#limit.reset(client, token)
      return result
    } finally {
      const left = (this.#waiting.get(waiter) ?? 1) - 1
      if (left === 0) this.#waiting.delete(waiter)
      else this.#waiting.set(waiter, left)
    }
  }

  /** Counts a report that needs no probe. Throws `too_many_reports`. */
  countReport(client: string, token: CachedToken): void {
    this.#limit.count(client, token)
  }

  async #answer(token: CachedToken, arrivedAtMs: number): Promise<ProbeResult> {
    const key = `${keyText(token)}/${token.generation}`
    let probe = this.#probes.get(key) ?? this.#begin(key, token)
    if (probe.isEnded && !probe.isDead) probe = await this.#next(probe, key, token)
    for (;;) {
      const result = await probe.result
      if (result.state === 'dead' || arrivedAtMs <= probe.beganAtMs + this.#intervalMs) {
        return result
      }
      probe = await this.#next(probe, key, token)
    }
  }

  /** Begins the next probe, once for all that wait for it. */
  #next(probe: Probe, key: string, token: CachedToken): Promise<Probe> {
    const waitMs = probe.beganAtMs + this.#intervalMs - performance.now()
    probe.next ??= delay(Math.max(0, waitMs)).then(() => this.#begin(key, token))
    return probe.next
  }

  #begin(key: string, token: CachedToken): Probe {
    const { integration, accountId: account, generation } = token
    const provider = this.#integrations.get(integration)
    const host = token.apiDomain ?? token.domain ?? ''
    const probe: Probe = {
      beganAtMs: performance.now(),
      result: probeAccessToken(provider, host, token.accessToken()),
      isEnded: false,
      isDead: false,
      next: undefined,
    }
    probe.result.then(
      ({ state }) => {
        probe.isEnded = true
        probe.isDead = state === 'dead'
      },
      () => {
        probe.isEnded = true
      },
    )
    this.#probes.set(key, probe)
    this.#log.warn({ integration, account, generation }, 'access token reported')
    return probe
  }
}
