import type { AccountKey } from '../accounts/account-key.ts'

/**
 * One thing that somebody did. No field can hold a secret: names, words and numbers alone, which the table checks as well.
 */
export interface AuditEntry {
  /** A client's name, `operator` for OPERATOR_KEY, `nobody` for whoever had no valid key. */
  actor: string
  /** The operation's id in the API. */
  action: string
  outcome: string
  account?: AccountKey | undefined
  generation?: number | undefined
  detail?: Record<string, string | number> | undefined
}

/** How often the same was done within a while. */
export interface CountedEntry extends AuditEntry {
  times: number
}

const WORD = /^[a-z0-9_-]{0,63}$/

/** What the table would not take is not told: a name that is none may be a secret in the wrong place. */
export function plainDetail(detail: AuditEntry['detail'] = {}): Record<string, string | number> {
  const plain = (value: string | number) =>
    typeof value === 'number' || WORD.test(value) ? value : 'not_shown'
  return Object.fromEntries(Object.entries(detail).map(([name, value]) => [name, plain(value)]))
}
