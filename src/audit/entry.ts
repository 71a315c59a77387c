import type { AccountKey } from '../lib/account-key.ts'

/**
 * An act of a caller. No field can hold a secret: only names, words and numbers, which the table
 * checks as well.
 */
export interface AuditEntry {
  /** A client's name, `operator` for OPERATOR_KEY, or `nobody` without a valid key. */
  actor: string
  /** The operation id of the API. */
  action: string
  outcome: string
  /**
   * The HTTP status of an error. It is not stored; metrics tell by it an error from a token with a
   * warning of the same name.
   */
  errorStatus?: number | undefined
  account?: AccountKey | undefined
  generation?: number | undefined
  detail?: Record<string, string | number> | undefined
}

/** The same act, counted. */
export interface CountedEntry extends AuditEntry {
  times: number
}

const WORD = /^[a-z0-9_-]{0,63}$/

/**
 * Replaces values that the table would refuse: a value of another form may be a secret in the wrong
 * place.
 */
export function plainDetail(detail: AuditEntry['detail'] = {}): Record<string, string | number> {
  const plain = (value: string | number) =>
    typeof value === 'number' || WORD.test(value) ? value : 'not_shown'
  return Object.fromEntries(Object.entries(detail).map(([name, value]) => [name, plain(value)]))
}
