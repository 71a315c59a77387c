import type { Dispatcher } from 'undici'
import { isAllowedAddress, isAllowedHost } from '../endpoints/allowed-address.ts'
import { lookupOf, NOT_PUBLIC_CODE } from '../lib/public-lookup.ts'
import { readRetryAfter } from '../lib/retry-after.ts'

/** Time limit of a delivery, from the connection to the end of the response. */
export const POST_LIMIT_MS = 15_000
/** More of a response is not read. Telegram's and Slack's are far smaller. */
const MAX_BODY_BYTES = 16_384

export interface Post {
  url: URL
  headers: Record<string, string>
  body: string
}

export interface PostResponse {
  status: number
  /** Between one second and six hours; `undefined`: the response asks for no wait. */
  retryAfterSeconds: number | undefined
  /** The beginning of the body. */
  body: string
}

/** A post without a response. `code` is for people, such as ECONNREFUSED. */
export class PostFailed extends Error {
  override readonly name = 'PostFailed'
  readonly code: string

  constructor(code: string) {
    super(`post failed: ${code}`)
    this.code = code
  }
}

/**
 * Sends one message to an endpoint. Each post has its own connection, to the address that was
 * checked. Redirects are not followed, and certificates are checked. Throws `PostFailed`.
 */
export async function post(
  { url, headers, body }: Post,
  mayBePrivate: boolean,
  limitMs = POST_LIMIT_MS,
): Promise<PostResponse> {
  if (!isAllowedHost(url, mayBePrivate)) throw new PostFailed(NOT_PUBLIC_CODE)
  const isAllowed = (address: string) => isAllowedAddress(url, address, mayBePrivate)
  const signal = AbortSignal.timeout(limitMs)
  // Loaded when the first message is sent: most of undici is used by nothing else.
  const { Client } = await import('undici')
  const connection = new Client(url.origin, {
    connect: { timeout: limitMs, lookup: lookupOf(isAllowed), rejectUnauthorized: true },
    pipelining: 0,
  })
  try {
    const path = url.pathname + url.search
    const answer = await connection.request({
      method: 'POST',
      path,
      headers: { 'user-agent': 'amo-token-broker', 'accept-encoding': 'identity', ...headers },
      body,
      signal,
    })
    return await readResponse(answer)
  } catch (error) {
    throw new PostFailed(signal.aborted ? 'TIMEOUT' : codeOf(error))
  } finally {
    connection.destroy().catch(() => {})
  }
}

async function readResponse(answer: Dispatcher.ResponseData): Promise<PostResponse> {
  const header = (name: string) => [answer.headers[name] ?? ''].flat().join(', ')
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of answer.body) {
    chunks.push(chunk)
    length += chunk.length
    if (length >= MAX_BODY_BYTES) break
  }
  return {
    status: answer.statusCode,
    retryAfterSeconds: readRetryAfter(header('retry-after'), header('date')),
    body: Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES).toString('utf8'),
  }
}

/** Returns a code of Node, undici or OpenSSL, never a message: it may repeat what was sent. */
function codeOf(error: unknown): string {
  const { code, cause } = error as { code?: unknown; cause?: { code?: unknown } }
  const known = [code, cause?.code].find((each) => typeof each === 'string')
  return typeof known === 'string' && /^[A-Z0-9_]{1,60}$/.test(known) ? known : 'NO_RESPONSE'
}
