/** `warn`: it works, and something will hurt one day. `fail`: it does not work, or loses tokens. */
export type Verdict = 'ok' | 'warn' | 'fail'

/** One line of the doctor's. No text in it is a secret. */
export interface Finding {
  verdict: Verdict
  found: string
  /** What to do, naming the setting. */
  remedy?: string
}

export function ok(found: string): Finding {
  return { verdict: 'ok', found }
}

export function warn(found: string, remedy: string): Finding {
  return { verdict: 'warn', found, remedy }
}

export function fail(found: string, remedy: string): Finding {
  return { verdict: 'fail', found, remedy }
}
