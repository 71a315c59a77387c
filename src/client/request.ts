import { AmoTokenError } from './error.ts'
import type { AmoToken } from './token.ts'

/** A CRM request that has not been given a token yet. */
export interface CrmRequest {
  url: string
  init: RequestInit
  /** False for a stream: it is gone after the first send. */
  isRepeatable: boolean
}

/** Reads the arguments of a `fetch`. The body of a `Request` is read into memory. */
export async function readRequest(
  input: string | URL | Request,
  init: RequestInit = {},
): Promise<CrmRequest> {
  if (!(input instanceof Request)) {
    return { url: String(input), init, isRepeatable: isRepeatable(init.body) }
  }
  const { method, redirect, signal, url } = input
  const headers = init.headers ?? input.headers
  const hasOwnBody = init.body !== undefined || input.body === null
  const body = hasOwnBody ? init.body : await input.arrayBuffer()
  const merged: RequestInit = { method, redirect, signal, ...init, headers }
  return {
    url,
    init: body === undefined ? merged : { ...merged, body },
    isRepeatable: isRepeatable(body),
  }
}

/** Returns whether a body can be sent twice. Streams and iterators cannot. */
export function isRepeatable(body: unknown): boolean {
  if (body === undefined || body === null || typeof body === 'string') return true
  if (ArrayBuffer.isView(body) || body instanceof ArrayBuffer) return true
  return body instanceof URLSearchParams || body instanceof FormData || body instanceof Blob
}

/**
 * Resolves a URL for a request with a token. Paths and URLs of the account's own domain lead to
 * `token.apiUrl`.
 *
 * @throws AmoTokenError `foreign_url`: a token is never sent to any other host
 */
export function resolveUrl(
  input: string,
  token: AmoToken,
  account: string,
  trustedOrigins: readonly string[],
): URL {
  const url = new URL(input, token.apiUrl)
  if (url.origin === token.apiUrl || trustedOrigins.includes(url.origin)) return url
  const isHttps = url.protocol === 'https:'
  const isOwn = url.hostname === token.domain || url.hostname === account.toLowerCase()
  if (isHttps && isOwn) return new URL(url.pathname + url.search, token.apiUrl)
  throw new AmoTokenError(`No token is sent to ${url.origin}.`, {
    code: 'foreign_url',
    status: 0,
    remedy: 'Use a path, the domain of the account, or name the origin in trustedOrigins.',
  })
}
