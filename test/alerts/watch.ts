import { setTimeout as delay } from 'node:timers/promises'
import type { Prometheus } from '../support/prometheus.ts'

/** An alert, or the part of it that belongs to one objective. */
interface AlertName {
  alert: string
  slo?: string
}

/** Notes which alerts fire, and since when. */
export class AlertWatch {
  /** Names of the alerts that fire now. */
  now: ReadonlySet<string> = new Set()
  readonly #firedMs = new Map<string, number>()
  readonly #prometheus: Prometheus
  readonly #closing = new AbortController()
  readonly #running: Promise<void>

  constructor(prometheus: Prometheus, pollMs: number) {
    this.#prometheus = prometheus
    this.#running = this.#run(pollMs)
  }

  /** Forgets what fired before. What still fires counts as fired again when it was silent. */
  reset(): void {
    this.#firedMs.clear()
  }

  fires(alert: AlertName): boolean {
    return this.now.has(nameOf(alert))
  }

  /** @returns when it began to fire since the last reset; undefined: it did not */
  firedAt(alert: AlertName): number | undefined {
    return this.#firedMs.get(nameOf(alert))
  }

  async stop(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async #run(pollMs: number): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      const alerts = await this.#prometheus.firing().catch(() => [])
      const now = new Set(
        alerts.flatMap(({ alertname = '', slo }) => [
          alertname,
          ...(slo === undefined ? [] : [nameOf({ alert: alertname, slo })]),
        ]),
      )
      for (const name of now) {
        if (!this.now.has(name) && !this.#firedMs.has(name)) this.#firedMs.set(name, Date.now())
      }
      this.now = now
      await delay(pollMs, undefined, { signal }).catch(() => {})
    }
  }
}

function nameOf({ alert, slo }: AlertName): string {
  return slo === undefined ? alert : `${alert} ${slo}`
}
