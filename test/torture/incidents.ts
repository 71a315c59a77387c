/** One injected fault. */
export interface Incident {
  fault: string
  /** Undefined when the fault concerns no single account. */
  account: number | undefined
  atMs: number
  outcome: string | undefined
  recoveryMs: number | undefined
  /** Accounts that could not be served before a send of theirs was settled. */
  lateCount?: number
  /** Until the last of those was served. */
  slowestLateMs?: number
}

/** Collects the injected faults and how the brokers recovered from each. */
export class Incidents {
  readonly all: Incident[] = []
  readonly #log: (line: string) => void

  constructor(log: (line: string) => void) {
    this.#log = log
  }

  begin(fault: string): Incident {
    const incident: Incident = {
      fault,
      account: undefined,
      atMs: Date.now(),
      outcome: undefined,
      recoveryMs: undefined,
    }
    this.all.push(incident)
    return incident
  }

  end(incident: Incident, outcome: string, recoveryMs?: number): void {
    incident.outcome = outcome
    incident.recoveryMs = recoveryMs
    const after = recoveryMs === undefined ? '' : ` after ${(recoveryMs / 1000).toFixed(1)} s`
    this.#log(`${incident.fault}: ${outcome}${after}`)
  }

  /** Prints a line. */
  note(line: string): void {
    this.#log(line)
  }

  /** Removes an incident whose fault was never injected. */
  drop(incident: Incident): void {
    this.all.splice(this.all.indexOf(incident), 1)
  }
}
