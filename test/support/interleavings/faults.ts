/** The faults of a schedule, each with the most times that it may occur. */
const FAULTS = {
  crash: 2,
  disk_gone: 1,
  database: 3,
  redis: 3,
  redis_loses_data: 1,
  failover: 1,
  network: 3,
  refusal: 2,
  lie: 2,
  consent: 1,
  time: 10,
  disk: 2,
} as const
export type Fault = keyof typeof FAULTS

const NAMES: Fault[] = Object.keys(FAULTS).filter(isFault)

function isFault(name: string): name is Fault {
  return name in FAULTS
}

/**
 * Chooses the faults of one schedule by the bits of `mask`. With fewer kinds of faults the effect
 * of each is clearer.
 */
export class FaultBudget {
  readonly #left = new Map<Fault, number>()

  constructor(mask: number) {
    for (const [index, name] of NAMES.entries()) {
      // Without the passing of time nothing becomes due.
      const isOn = name === 'time' || (mask >> index) % 2 === 1
      this.#left.set(name, isOn ? FAULTS[name] : 0)
    }
  }

  has(fault: Fault | undefined): boolean {
    return fault === undefined || (this.#left.get(fault) ?? 0) > 0
  }

  spend(fault: Fault | undefined): void {
    if (fault !== undefined) this.#left.set(fault, (this.#left.get(fault) ?? 0) - 1)
  }
}

/** Sets one bit for each kind. */
export const ALL_FAULTS = 2 ** NAMES.length - 1
