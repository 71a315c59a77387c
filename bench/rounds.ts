import type { Aim, Measured } from './load.ts'
import type { Bench } from './parts/part.ts'

const WARM_UP_SECONDS = 3

/** What each side did in each round. */
export type Sides = Record<string, Measured[]>

/** After a warm-up, all sides in turn, round by round: whatever the machine does besides, it does to all of them. */
export async function playRounds(
  { loader, rounds, seconds, connections, say }: Bench,
  aims: Record<string, Aim>,
): Promise<Sides> {
  const sides: Sides = {}
  for (const aim of Object.values(aims)) {
    await loader.run(aim, { connections, seconds: WARM_UP_SECONDS })
  }
  for (let round = 0; round < rounds; round += 1) {
    const order = Object.entries(aims)
    // Each side comes first once, so that none is always the one after the heaviest.
    const first = round % order.length
    for (const [side, aim] of [...order.slice(first), ...order.slice(0, first)]) {
      const measured = await loader.run(aim, { connections, seconds })
      sides[side] = [...(sides[side] ?? []), measured]
      const { requestsPerSecond, p50Ms, p99Ms } = measured
      const latency = `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`
      say(`  round ${round + 1}: ${side}: ${Math.round(requestsPerSecond)}/s, ${latency}`)
    }
  }
  return sides
}

export function throughput(sides: Sides, side: string): number[] {
  return (sides[side] ?? []).map(({ requestsPerSecond }) => requestsPerSecond)
}

export function tail(sides: Sides, side: string): number[] {
  return (sides[side] ?? []).map(({ p99Ms }) => p99Ms)
}

/** All at the same time: their requests per second together. */
export async function playAll(
  { loader, seconds, connections }: Bench,
  aims: Aim[],
): Promise<number> {
  const all = await Promise.all(aims.map((aim) => loader.run(aim, { connections, seconds })))
  return all.reduce((sum, { requestsPerSecond }) => sum + requestsPerSecond, 0)
}
