import type { Series } from '../support/prometheus.ts'
import type { Life } from './life.ts'
import type { Replica } from './replica.ts'

type Scraped = Pick<Replica, 'name' | 'url' | 'lives'>

/** From the last scrape of a process to its end. What it counted then is lost with it. */
export interface Unscraped {
  replica: string
  fromMs: number
  toMs: number
}

/** @param series of any metric that every scrape has */
export function unscrapedTimes(
  replicas: readonly Scraped[],
  series: readonly Series[],
): Unscraped[] {
  return replicas.flatMap((replica) => {
    const own = seriesOf(replica, series)[0]
    return replica.lives.flatMap((life) => {
      if (life.endedAtMs === undefined) return []
      const last = samplesIn(life, own).at(-1)
      const fromMs = last === undefined ? life.beganAtMs : last[0] * 1000
      return [{ replica: replica.name, fromMs, toMs: life.endedAtMs }]
    })
  })
}

/**
 * Returns how much of a counter `increase` misses. A counter that has grown past its last value
 * before the first scrape of a new process hides the restart.
 */
export function hiddenByRestarts(replicas: readonly Scraped[], series: readonly Series[]): number {
  let hidden = 0
  for (const replica of replicas) {
    for (const each of seriesOf(replica, series)) {
      let lastValue = 0
      for (const life of replica.lives) {
        const values = samplesIn(life, each).map(([, value]) => value)
        const [first] = values
        if (first !== undefined && first >= lastValue) hidden += lastValue
        lastValue = values.at(-1) ?? lastValue
      }
    }
  }
  return hidden
}

function seriesOf({ url }: Scraped, series: readonly Series[]): Series[] {
  return series.filter(({ labels }) => labels.instance === new URL(url).host)
}

function samplesIn(life: Life, series: Series | undefined): Series['values'] {
  const { beganAtMs, endedAtMs = Number.POSITIVE_INFINITY } = life
  return (series?.values ?? []).filter(
    ([seconds]) => seconds * 1000 > beganAtMs && seconds * 1000 < endedAtMs,
  )
}
