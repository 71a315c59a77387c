import { Counter, Histogram, type Registry } from '@prometheus-io/client'

/** Seconds. Most requests ask PostgreSQL once; a refresh or a provider takes longer. */
const BUCKETS = [0.01, 0.05, 0.25, 1, 5]
const CLASSES = ['2xx', '3xx', '4xx', '5xx']

interface Route {
  listener: string
  method: string
  /** The pattern, never the path: a path names accounts and carries codes. */
  route: string
}

/**
 * Labels requests that reach no route: unknown paths, URLs that cannot be parsed, and bytes that
 * are not HTTP.
 */
export const UNROUTED = { method: 'any', route: 'none' } as const

/** Measures requests. */
export interface RequestMetrics {
  /** Creates the series of a route with the value 0. */
  addRoute(route: Route): void
  /** Counts one request. `ms`: time until its response was ready. */
  observe(route: Route, status: number, ms: number): void
}

/**
 * Registers the counter and the histogram of requests. Reads of tokens are not in them: they are in
 * `ReadMetrics`. The histogram has no status, because a scrape renders all its buckets for each
 * label.
 */
export function createRequestMetrics(registry: Registry): RequestMetrics {
  const labelNames = ['listener', 'method', 'route'] as const
  const registers = [registry]
  const requests = new Counter({
    name: 'amo_http_requests_total',
    help: 'Requests by listener, method, route and class of the status, without GET /tokens/:account; sum over replicas',
    labelNames: [...labelNames, 'status'] as const,
    registers,
  })
  const durations = new Histogram({
    name: 'amo_http_request_duration_seconds',
    help: 'Time until the response is ready, by listener, method and route, without GET /tokens/:account; sum over replicas',
    labelNames,
    buckets: BUCKETS,
    registers,
  })
  return {
    addRoute(route) {
      durations.zero({ ...route })
      for (const status of CLASSES) requests.inc({ ...route, status }, 0)
    },
    observe(route, status, ms) {
      requests.inc({ ...route, status: `${Math.floor(status / 100)}xx` })
      durations.observe({ ...route }, ms / 1000)
    },
  }
}
