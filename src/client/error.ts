/**
 * Codes of the client itself, with status 0: `broker_unreachable`, `timeout`,
 * `unreadable_response`, `foreign_url`. All other codes are the broker's own.
 */
export interface AmoTokenErrorFields {
  code: string
  /** HTTP status of the broker's response; 0 if there was none. */
  status: number
  /** The broker's remedy. */
  remedy?: string | undefined
  /** Code `reauth_required`: the link that an administrator of the account must open. */
  connectUrl?: string | undefined
  /** Milliseconds until a new request makes sense. */
  retryAfterMs?: number | undefined
  /** Names the request in the broker's log. */
  requestId?: string | undefined
  cause?: unknown
}

/** The error for every failure to get a token. Contains neither a token nor the client key. */
export class AmoTokenError extends Error {
  override readonly name = 'AmoTokenError'
  declare readonly code: string
  declare readonly status: number
  declare readonly remedy: string | undefined
  declare readonly connectUrl: string | undefined
  declare readonly retryAfterMs: number | undefined
  declare readonly requestId: string | undefined

  constructor(message: string, { cause, ...fields }: AmoTokenErrorFields) {
    super(message, cause === undefined ? undefined : { cause })
    Object.assign(this, fields)
  }
}

/** Returns whether a later request can succeed: no response, 408, 429 and 5xx. */
export function isTransient(error: unknown): error is AmoTokenError {
  if (!(error instanceof AmoTokenError) || error.code === 'foreign_url') return false
  const { status } = error
  return status === 0 || status === 408 || status === 429 || status >= 500
}

/** Returns the error of a call without a response. */
export function noAnswer(
  code: 'broker_unreachable' | 'timeout' | 'unreadable_response',
  cause?: unknown,
): AmoTokenError {
  return new AmoTokenError(`The broker gave no token: ${code}.`, { code, status: 0, cause })
}

/** Reads the broker's problem document (RFC 9457). */
export function errorFromProblem(status: number, text: string, headers: Headers): AmoTokenError {
  const problem = parseObject(text)
  const field = (name: string) => {
    const value = problem[name]
    return typeof value === 'string' ? value : undefined
  }
  return new AmoTokenError(field('detail') ?? `The broker responded ${status}.`, {
    code: field('code') ?? 'unreadable_response',
    status,
    remedy: field('remedy'),
    connectUrl: field('connect_url'),
    retryAfterMs: Number(headers.get('retry-after')) * 1000 || undefined,
    requestId: field('request_id') ?? headers.get('x-request-id') ?? undefined,
  })
}

/** Parses JSON. Returns an empty object for anything that is not a JSON object. */
export function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
