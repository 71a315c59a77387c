/** What outlives its maker and is ended at the end of it: a tap test, or a run of the torture harness. */
export interface Scope {
  teardown(end: () => unknown): void
}
