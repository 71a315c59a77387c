import type { Config } from '../config/load-config.ts'
import type { Database } from '../db/database.ts'
import type { AreaFinding } from './diagnose.ts'

/** A report is good for this long. An examination reads all accounts, and calls the provider. */
const FRESH_MS = 5 * 60_000

export interface DoctorReport {
  findings: readonly AreaFinding[]
  startedAt: Date
  /** Null: the examination goes on. */
  endedAt: Date | null
}

/** Examines this replica at most once at a time, and keeps the last report. */
export class DoctorReports {
  readonly #config: Config
  readonly #database: Database
  #report: DoctorReport | undefined

  constructor(config: Config, database: Database) {
    this.#config = config
    this.#database = database
  }

  /** Returns the last report; undefined: there is none yet. */
  get latest(): DoctorReport | undefined {
    return this.#report
  }

  /** Starts an examination, unless one goes on. With `onlyIfOld`, not after a recent one either. */
  start({ onlyIfOld = false } = {}): void {
    const report = this.#report
    if (report !== undefined) {
      if (report.endedAt === null) return
      if (onlyIfOld && Date.now() - report.endedAt.getTime() < FRESH_MS) return
    }
    void this.#examine()
  }

  /** Never rejects: a check that throws is a finding. */
  async #examine(): Promise<void> {
    const startedAt = new Date()
    const findings: AreaFinding[] = []
    this.#report = { findings, startedAt, endedAt: null }
    // Loads the examinations when somebody asks for one.
    const { diagnoseRunning } = await import('./diagnose.ts')
    for await (const finding of diagnoseRunning(this.#config, this.#database)) {
      findings.push(finding)
      this.#report = { findings, startedAt, endedAt: null }
    }
    this.#report = { findings, startedAt, endedAt: new Date() }
  }
}
