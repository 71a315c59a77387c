/** One injected fault. */
export interface Incident {
  fault: string
  /** That it happened to, where it did to one. */
  account: number | undefined
  atMs: number
  outcome: string | undefined
  recoveryMs: number | undefined
}

/** What was done to the brokers, and how they came out of it. */
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

  /** A line for who watches. */
  note(line: string): void {
    this.#log(line)
  }

  /** An order that nothing came to: nothing was injected. */
  drop(incident: Incident): void {
    this.all.splice(this.all.indexOf(incident), 1)
  }
}
