import { ERRORS } from '../../src/lib/errors.ts'

/** Error codes that a healthy broker may return to a caller with all rights. */
const CONTRACT_CODES = new Set([
  'reauth_required',
  'disconnected',
  'refresh_pending',
  'provider_unavailable',
  'storage_unavailable',
  'too_many_reports',
])

/** Returns whether a healthy broker may answer with this code and status. */
export function isInContract(
  code: string | undefined,
  status: number,
  isAccountRemoved: boolean,
): boolean {
  const isMissing = code === 'account_not_found' && isAccountRemoved
  const isKnown = code !== undefined && CONTRACT_CODES.has(code)
  const fits = Object.entries(ERRORS).some(([name, [its]]) => name === code && its === status)
  return fits && (isKnown || isMissing)
}

/** Returns the error code of a response. Undefined: it has none. */
export function codeOf(type: string, text: string): string | undefined {
  if (!type.includes('application/problem+json')) return undefined
  try {
    const { code } = JSON.parse(text)
    return typeof code === 'string' ? code : undefined
  } catch {
    return undefined
  }
}
