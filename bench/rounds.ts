import { readFile } from 'node:fs/promises'
import type { Aim, Measured } from './load.ts'
import type { Bench } from './parts/part.ts'

const WARM_UP_SECONDS = 3

/** Linux counts processor time in hundredths of a second. */
const TICK_MICROS = 10_000

/** The result of one side in one round. `cpuMicros`: the server's processor time per response. */
interface SideMeasured extends Measured {
  cpuMicros: number
}

/** The measurements of each side, by round. */
export type Sides = Record<string, SideMeasured[]>

/**
 * Warms up, then loads all sides in turn, round by round, so that other work of the machine affects
 * all of them alike.
 */
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
    // The order rotates, so that no side always follows the heaviest one.
    const first = round % order.length
    for (const [side, aim] of [...order.slice(first), ...order.slice(0, first)]) {
      const beganTicks = await ticksOf(aim.pid)
      const result = await loader.run(aim, { connections, seconds })
      const ticks = (await ticksOf(aim.pid)) - beganTicks
      const measured = { ...result, cpuMicros: (ticks * TICK_MICROS) / result.answers }
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

/** Returns the processor time of one response, which other work of the machine affects least. */
export function cpuMicros(sides: Sides, side: string): number[] {
  return (sides[side] ?? []).map((measured) => measured.cpuMicros)
}

async function ticksOf(pid: number | undefined): Promise<number> {
  if (pid === undefined) return 0
  // The name of the process, which is in parentheses, may contain blanks.
  const [, fields = ''] = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')
  const [user, system] = fields.split(' ').slice(11, 13)
  return Number(user) + Number(system)
}

export function tail(sides: Sides, side: string): number[] {
  return (sides[side] ?? []).map(({ p99Ms }) => p99Ms)
}

/** Loads all aims at the same time and returns their requests per second together. */
export async function playAll(
  { loader, seconds, connections }: Bench,
  aims: Aim[],
): Promise<number> {
  const all = await Promise.all(aims.map((aim) => loader.run(aim, { connections, seconds })))
  return all.reduce((sum, { requestsPerSecond }) => sum + requestsPerSecond, 0)
}
