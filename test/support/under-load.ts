import { availableParallelism, loadavg } from 'node:os'

/** The test runner itself keeps about this many processes busy on each core. */
const OWN_LOAD_PER_CORE = 2

/**
 * Scales a time limit that a test passes to a broker, or that it asserts, by the load of the
 * machine.
 *
 * @returns `ms` on a machine that only runs the tests, proportionally more on a loaded one
 */
export function underLoad(ms: number): number {
  const [lastMinute = 0] = loadavg()
  return Math.round(ms * Math.max(1, lastMinute / (OWN_LOAD_PER_CORE * availableParallelism())))
}

/** Returns whether the machine has more to do than the tests. */
export function isLoaded(): boolean {
  return underLoad(1_000) > 1_000
}
