/** `warn`: works, with a risk. `fail`: does not work, or loses tokens. */
type FindingLevel = 'ok' | 'warn' | 'fail'

/** One result of the doctor. Its texts contain no secret. */
export interface Finding {
  verdict: FindingLevel
  found: string
  /** Tells what to do and names the setting. */
  remedy?: string
}

/** Makes a finding that needs no action. */
export function ok(found: string): Finding {
  return { verdict: 'ok', found }
}

/** Makes a finding of a risk. */
export function warn(found: string, remedy: string): Finding {
  return { verdict: 'warn', found, remedy }
}

/** Makes a finding of a failure. */
export function fail(found: string, remedy: string): Finding {
  return { verdict: 'fail', found, remedy }
}
