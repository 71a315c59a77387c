/** The time of a schedule, which moves only when the schedule says so: for the actors and for PostgreSQL alike. */
export interface Clock {
  /** As `performance.now()`. */
  nowMs: number
  /** Milliseconds since 1970 at `nowMs` 0. */
  readonly originMs: number
  pass(ms: number): Promise<void>
}
