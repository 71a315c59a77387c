import { json } from 'node:stream/consumers'
import autocannon, { type Result } from 'autocannon'
import { percentile } from './figures.ts'
import type { Aim, Load } from './load.ts'

const { origin, paths, authorization, connections, seconds } = (await json(process.stdin)) as Aim &
  Load
const tookMs: number[] = []
const { promise, resolve, reject } = Promise.withResolvers<Result>()
const running = autocannon(
  {
    url: origin,
    connections,
    duration: seconds,
    headers: { authorization },
    requests: paths.map((path) => ({ path })),
  },
  (error, result) => (error ? reject(error) : resolve(result)),
)
// The histogram of autocannon has a resolution of a millisecond only.
running.on('response', (_client, _status, _bytes, ms) => tookMs.push(ms))
const result = await promise
const measured = {
  requestsPerSecond: result['2xx'] / result.duration,
  p50Ms: percentile(tookMs, 50),
  p99Ms: percentile(tookMs, 99),
  answers: result['2xx'],
  failures: result.non2xx + result.errors + result.timeouts,
}
console.log(JSON.stringify(measured))
