/** What may go wrong in a schedule, and how often at the most. */
export const FAULTS = {
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
} as const
export type Fault = keyof typeof FAULTS

const NAMES: Fault[] = Object.keys(FAULTS).filter(isFault)

function isFault(name: string): name is Fault {
  return name in FAULTS
}

/** The faults of one schedule: some kinds only, by the bits of `mask`, so that the others are seen clearly. */
export class FaultBudget {
  readonly #left = new Map<Fault, number>()

  constructor(mask: number) {
    for (const [index, name] of NAMES.entries()) {
      // Without time nothing is due.
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

/** One bit for each kind. */
export const ALL_FAULTS = 2 ** NAMES.length - 1
