/** What pg says, without a code, of a connection that is gone or does not answer. */
const NO_ANSWER =
  /^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client has encountered a connection error)/
/** SQLSTATE classes (PostgreSQL, appendix A): connection, resources, operator intervention, system error. */
const NOT_AVAILABLE = /^(08|53|57|58)/
const SQLSTATE = /^[0-9A-Z]{5}$/

/** Whether a query failed because PostgreSQL is not there, and not because of the statement or its values. */
export function isStorageDown(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code } = error as { code?: unknown }
  if (typeof code !== 'string') return NO_ANSWER.test(error.message)
  return SQLSTATE.test(code) ? NOT_AVAILABLE.test(code) : /^E[A-Z]+$/.test(code)
}

/** Errors of pg carry the statement and the host: only the code is told. */
export function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : (error as Error).name
}
