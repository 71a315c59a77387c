import { setTimeout as delay } from 'node:timers/promises'
import { drawDashboard } from '../support/dashboard-picture.ts'
import { type Prometheus, startPrometheus } from '../support/prometheus.ts'
import type { TeardownScope } from '../support/teardown-scope.ts'
import type { Harness } from './harness.ts'
import { compareSlis, type Scrapes, type Sli } from './slis.ts'
import { readStatusChanges, recordStatusChanges, type StatusChange } from './status-changes.ts'

const SCRAPE_MS = 1_000
/** A scrape waits for its query of the database at most this long. */
const LAST_SCRAPE_LIMIT_MS = 20_000

/** A Prometheus that scrapes all replicas during a run, with the shipped rules. */
export class Monitor {
  readonly #prometheus: Prometheus
  readonly #harness: Harness
  readonly #beganMs = Date.now()
  /** A failover may forget rows, so they are read again and again. */
  readonly #changes = new Map<string, StatusChange>()
  readonly #closing = new AbortController()
  #running: Promise<void> = Promise.resolve()

  private constructor(prometheus: Prometheus, harness: Harness) {
    this.#prometheus = prometheus
    this.#harness = harness
  }

  /** Starts it. The replicas must run, and the callers must not: it sees their counters at 0. */
  static async start(scope: TeardownScope, harness: Harness): Promise<Monitor> {
    const { replicas, vault } = harness
    await recordStatusChanges(vault.db)
    const urls = replicas.map(({ url }) => url)
    const key = await makeMonitorKey(harness)
    const prometheus = await startPrometheus(scope, urls, { scrapeMs: SCRAPE_MS, key })
    const monitor = new Monitor(prometheus, harness)
    monitor.#running = monitor.#follow()
    scope.teardown(() => monitor.#stop())
    await monitor.#untilScraped()
    return monitor
  }

  /** Compares its SLIs with what the harness has counted. The callers must have stopped. */
  async compare(): Promise<Sli[]> {
    await this.#untilScraped()
    await this.#stop()
    const rangeMs = Date.now() - this.#beganMs
    const range = `${Math.ceil(rangeMs / 1000)}s`
    const scrapes: Scrapes = {
      range,
      query: async (expr) => (await this.#prometheus.query(expr))[0]?.value ?? Number.NaN,
      everySecond: async (expr) => {
        const [series] = await this.#prometheus.queryRange(expr, this.#beganMs, Date.now(), 1_000)
        return series?.values ?? []
      },
      samples: (selector) => this.#prometheus.samples(`${selector}[${range}]`),
    }
    return compareSlis(this.#harness, scrapes, [...this.#changes.values()])
  }

  /** Draws all panels of the dashboard over the run, as SVG. */
  draw(): Promise<string> {
    const span = { fromMs: this.#beganMs, toMs: Date.now() }
    return drawDashboard(this.#prometheus, span)
  }

  /** Waits until every replica was scraped once more. */
  async #untilScraped(): Promise<void> {
    const sinceSeconds = Date.now() / 1000
    const endMs = Date.now() + LAST_SCRAPE_LIMIT_MS
    const { replicas } = this.#harness
    const isScraped = async () => {
      const times = await this.#prometheus.query('timestamp(amo_token_reads_total{outcome="done"})')
      return times.filter(({ value }) => value > sinceSeconds).length === replicas.length
    }
    while (!(await isScraped()) && Date.now() < endMs) await delay(SCRAPE_MS / 4)
  }

  async #stop(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closing
    let isLast = false
    while (!isLast) {
      isLast = signal.aborted
      const rows = await readStatusChanges(this.#harness.vault.db).catch(() => [])
      for (const change of rows) this.#changes.set(`${change.account} ${change.atMs}`, change)
      if (!isLast) await delay(SCRAPE_MS / 4, undefined, { signal }).catch(() => {})
    }
  }
}

/** With the key of a monitor, the metrics have the reads by client. */
async function makeMonitorKey({ replicas, operatorKey }: Harness): Promise<string> {
  const response = await fetch(`${replicas[0]?.url}/clients`, {
    method: 'POST',
    headers: { authorization: `Bearer ${operatorKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'prometheus', role: 'monitor', grants: [] }),
  })
  const { key } = (await response.json()) as { key?: string }
  if (key === undefined) throw new Error(`no key for Prometheus: ${response.status}`)
  return key
}
