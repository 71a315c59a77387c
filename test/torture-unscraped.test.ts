import t from 'tap'
import { beginLife, type Life } from './torture/life.ts'
import { hiddenByRestarts, unscrapedTimes } from './torture/unscraped.ts'

const FIRST = { ...beginLife(1, ''), beganAtMs: 10_000, endedAtMs: 13_500 }
const SECOND = { ...beginLife(2, ''), beganAtMs: 14_000 }
const replicas = (lives: Life[]) => [{ name: 'r1', url: 'http://127.0.0.1:1', lives }]
const series = (values: [number, number][]) => [{ labels: { instance: '127.0.0.1:1' }, values }]

t.test('what a process counts after its last scrape is not seen', async (t) => {
  const times = unscrapedTimes(
    replicas([FIRST, SECOND]),
    series([
      [11, 0],
      [13, 5],
      [15, 9],
    ]),
  )
  t.same(times, [{ replica: 'r1', fromMs: 13_000, toMs: 13_500 }])
  t.same(
    unscrapedTimes(replicas([FIRST]), series([])),
    [{ replica: 'r1', fromMs: 10_000, toMs: 13_500 }],
    'never scraped',
  )
})

t.test('a counter that has passed its last value hides a restart', async (t) => {
  const hidden = (second: number) =>
    hiddenByRestarts(
      replicas([FIRST, SECOND]),
      series([
        [11, 0],
        [13, 5],
        [15, second],
      ]),
    )
  t.equal(hidden(9), 5)
  t.equal(hidden(5), 5)
  t.equal(hidden(4), 0, 'increase sees the reset')
})
