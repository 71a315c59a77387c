import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { MONITORING } from './alert-rules.ts'
import { until } from './broker.ts'
import { freePorts } from './ports.ts'
import type { TeardownScope } from './teardown-scope.ts'

const MS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A series and its samples: seconds since 1970, and the value. */
export interface Series {
  labels: Record<string, string>
  values: [seconds: number, value: number][]
}

export interface Prometheus {
  /** Evaluates a query now. Throws when it is no PromQL. */
  query(expr: string): Promise<{ labels: Record<string, string>; value: number }[]>
  queryRange(expr: string, fromMs: number, toMs: number, stepMs: number): Promise<Series[]>
  /** Returns the raw samples of a range vector. */
  samples(rangeVector: string): Promise<Series[]>
  /** Returns the labels of the alerts that fire now. */
  firing(): Promise<Record<string, string>[]>
  /** Names of the metrics that the targets have. */
  metricNames(): Promise<string[]>
}

/** Returns whether Prometheus is installed. */
export function hasPrometheus(): boolean {
  return spawnSync('prometheus', ['--version']).status === 0
}

/** Shortens every duration in rules or in a query. A rule of minutes is tried in seconds. */
export function speedUp(text: string, factor: number): string {
  return text.replaceAll(
    /(?<=[[:]|offset |for: |interval: )(\d+)([smhd])(?=[\]:}\s,]|$)/gm,
    (_all, count: string, unit: string) => `${(Number(count) * (MS[unit] ?? 0)) / factor}ms`,
  )
}

/**
 * Starts a Prometheus that scrapes brokers with the rules of `deploy/monitoring`.
 *
 * @param factor every duration in the rules is divided by it
 * @param key of a client that is a monitor
 */
export async function startPrometheus(
  t: TeardownScope,
  brokerUrls: string[],
  { factor = 1, scrapeMs = 500, key }: { factor?: number; scrapeMs?: number; key?: string } = {},
): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'amo-prometheus-'))
  const [port = 0] = await freePorts(1)
  const rules = readFileSync(join(MONITORING, 'alerts.yaml'), 'utf8')
  writeFileSync(join(folder, 'alerts.yaml'), speedUp(rules, factor))
  const config = {
    global: { scrape_interval: `${scrapeMs}ms`, evaluation_interval: `${scrapeMs}ms` },
    rule_files: ['alerts.yaml'],
    scrape_configs: [
      {
        job_name: 'amo-broker',
        scrape_timeout: `${scrapeMs}ms`,
        ...(key === undefined ? {} : { authorization: { credentials: key } }),
        static_configs: [{ targets: brokerUrls.map((url) => new URL(url).host) }],
      },
    ],
  }
  writeFileSync(join(folder, 'prometheus.yaml'), stringify(config))
  const child = spawn('prometheus', [
    `--config.file=${join(folder, 'prometheus.yaml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--log.level=error',
  ])
  let output = ''
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  t.teardown(async () => {
    const ended = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  const url = `http://127.0.0.1:${port}`
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`prometheus ended: ${output}`)
    return (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok
  })
  return connectTo(url)
}

function connectTo(url: string): Prometheus {
  const ask = async (path: string, parameters: Record<string, string> = {}) => {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`)
    // biome-ignore lint/suspicious/noExplicitAny: each path has another shape
    const { status, data, error } = (await response.json()) as any
    if (status !== 'success') throw new Error(`${error}: ${parameters.query}`)
    return data
  }
  return {
    async query(query) {
      const { result } = await ask('query', { query })
      return result.map((each: { metric: Record<string, string>; value: [number, string] }) => ({
        labels: each.metric,
        value: Number(each.value[1]),
      }))
    },
    async queryRange(query, fromMs, toMs, stepMs) {
      const times = { start: fromMs, end: toMs, step: stepMs }
      const seconds = Object.entries(times).map(([name, ms]) => [name, String(ms / 1000)])
      const { result } = await ask('query_range', { query, ...Object.fromEntries(seconds) })
      return result.map(toSeries)
    },
    async samples(query) {
      const { result } = await ask('query', { query })
      return result.map(toSeries)
    },
    async firing() {
      const { alerts } = await ask('alerts')
      const fired = alerts.filter(({ state }: { state: string }) => state === 'firing')
      return fired.map(({ labels }: { labels: Record<string, string> }) => labels)
    },
    metricNames: async () => Object.keys(await ask('metadata')),
  }
}

function toSeries({
  metric,
  values,
}: {
  metric: Record<string, string>
  values: [number, string][]
}): Series {
  return { labels: metric, values: values.map(([at, value]) => [at, Number(value)]) }
}
