import { isIP } from 'node:net'
import { Client, type Dispatcher } from 'undici'
import { KeyMissing } from '../lib/errors.ts'
import {
  isPublicAddress,
  isSandboxAddress,
  lookupOf,
  NOT_PUBLIC_CODE,
  publicLookup,
} from '../lib/public-lookup.ts'
import { readRetryAfter } from '../lib/retry-after.ts'
import { decodeBody, MAX_TEXT_BYTES } from './decode-body.ts'
import { isAllowedHost, type OAuthClient } from './profiles.ts'
import { type RawBody, rawBodyOf } from './raw-body.ts'

/**
 * Limits the time until the first byte of a request is written; then the request's own limit holds.
 */
export const CONNECT_LIMIT_MS = 5_000

export interface CallRequest {
  method: 'GET' | 'POST'
  /** An absolute https URL. */
  url: string
  headers: Record<string, string>
  body?: string
  /** Limits the time from the first byte written to the end of the response. */
  limitMs: number
  /** Called in the tick that writes the first byte. If it throws, nothing is written. */
  beforeWrite?: () => void
}

export interface CallResponse {
  status: number
  /** Only the media type, in lower case. */
  contentType: string
  /** Between one second and six hours; `undefined`: the response asks for no wait. */
  retryAfterSeconds: number | undefined
  /** The part of the body that arrived, decompressed and decoded; at most `MAX_TEXT_BYTES`. */
  body: string
  /** The same as it arrived. A test that answers in place of the provider may leave it out. */
  raw?: RawBody
  /** False when the connection ended too early, or the body is too large. */
  isWhole: boolean
}

/**
 * A call that ended without a response. `code` is for logs, such as ECONNREFUSED.
 * `wasWritten` false proves that nothing left this machine.
 */
export class CallFailed extends Error {
  override readonly name = 'CallFailed'
  readonly code: string
  readonly wasWritten: boolean

  constructor(code: string, wasWritten: boolean) {
    super(`call failed: ${code}`)
    this.code = code
    this.wasWritten = wasWritten
  }
}

/** How the provider is called. Passed in where a test answers in place of the provider. */
export type ProviderCall = typeof call

/**
 * Sends one request to the provider. Every outside call of the broker goes through here:
 * - Each call has its own connection. A reset of a pooled one would look as if the request might
 *   have been processed.
 * - Redirects are not followed, and the HTTP client never repeats a request.
 * - The target is an https host of the integration's profile, at a public address. An integration
 *   with a sandbox connects only to the sandbox.
 * - The response is asked for uncompressed. If it is compressed anyway, it is decoded.
 *
 * Throws `CallFailed`.
 */
export async function call(client: OAuthClient, request: CallRequest): Promise<CallResponse> {
  requireUnaltered(client)
  const url = new URL(request.url)
  if (!isAllowedHost(client.profile, url.host) || url.protocol !== 'https:')
    throw new CallFailed('HOST_NOT_ALLOWED', false)
  const connection = new Client(client.sandboxOrigin ?? url.origin, {
    connect:
      client.sandboxOrigin === null
        ? connectToProvider(url)
        : connectToSandbox(new URL(client.sandboxOrigin), client.isSandboxTrusted === true),
    // `limitMs` is the only time limit.
    headersTimeout: 0,
    bodyTimeout: 0,
    pipelining: 0,
  })
  const { promise, resolve, reject } = Promise.withResolvers<CallResponse>()
  const options: Dispatcher.DispatchOptions = {
    method: request.method,
    path: url.pathname + url.search,
    headers: { 'accept-encoding': 'identity', ...request.headers, host: url.host },
    body: request.body ?? null,
  }
  connection.dispatch(options, answerReader(request, resolve, reject))
  try {
    return await promise
  } finally {
    connection.destroy().catch(() => {})
  }
}

function connectToSandbox({ hostname }: URL, isTrusted: boolean) {
  const isAllowed = (address: string) => isSandboxAddress(address, isTrusted)
  requireAllowed(hostname, isAllowed)
  return { timeout: CONNECT_LIMIT_MS, lookup: lookupOf(isAllowed) }
}

/**
 * Opens the client secret, which is bound to the fields that decide where this call goes: nothing
 * is sent for an integration that was altered, or whose key is not loaded.
 */
function requireUnaltered(client: OAuthClient): void {
  try {
    void client.clientSecret
  } catch (error) {
    if (error instanceof KeyMissing) throw new CallFailed('KEY_MISSING', false)
    throw new CallFailed('INTEGRATION_ALTERED', false)
  }
}

/** Certificates are checked even if NODE_TLS_REJECT_UNAUTHORIZED is 0. */
function connectToProvider({ hostname }: URL) {
  requireAllowed(hostname, isPublicAddress)
  return { timeout: CONNECT_LIMIT_MS, lookup: publicLookup, rejectUnauthorized: true }
}

/** A host that is an IP address is never looked up, so it is checked here. Throws `CallFailed`. */
function requireAllowed(hostname: string, isAllowed: (address: string) => boolean): void {
  const address = hostname.replace(/^\[|\]$/g, '')
  if (isIP(address) !== 0 && !isAllowed(address)) throw new CallFailed(NOT_PUBLIC_CODE, false)
}

function answerReader(
  request: CallRequest,
  resolve: (answer: CallResponse) => void,
  reject: (error: CallFailed) => void,
): Dispatcher.DispatchHandler {
  let wasWritten = false
  let timer: NodeJS.Timeout | undefined
  let head: Head | undefined
  const chunks: Buffer[] = []
  let length = 0
  const end = (isWhole: boolean, error?: Error) => {
    clearTimeout(timer)
    if (head === undefined) return reject(new CallFailed(codeOf(error), wasWritten))
    const { status, contentType, retryAfterSeconds } = head
    const bytes = Buffer.concat(chunks)
    const [body, raw] = [decodeBody(bytes, head), rawBodyOf(bytes, head)]
    return resolve({ status, contentType, retryAfterSeconds, body, raw, isWhole })
  }
  return {
    onRequestStart(controller) {
      request.beforeWrite?.()
      wasWritten = true
      // A process that was stopped runs its timers before it reads its sockets. setImmediate runs
      // after the sockets, so a response that has already arrived is read first.
      const giveUp = () => controller.abort(new CallFailed('TIMEOUT', true))
      timer = setTimeout(() => setImmediate(giveUp), request.limitMs)
    },
    onResponseStart(_controller, status, headers) {
      // 1xx responses are interim.
      if (status >= 200) head = readHead(status, headers)
    },
    onResponseData(controller, chunk) {
      length += chunk.length
      chunks.push(chunk)
      if (length > MAX_TEXT_BYTES) controller.abort(new CallFailed('TOO_LARGE', true))
    },
    onResponseEnd: () => end(true),
    onResponseError: (_controller, error) => end(false, error),
  }
}

interface Head extends Pick<CallResponse, 'status' | 'contentType' | 'retryAfterSeconds'> {
  contentEncoding: string
  charset: string
}

function readHead(status: number, headers: Record<string, string | string[] | undefined>): Head {
  const header = (name: string) => [headers[name] ?? ''].flat().join(', ')
  const [mediaType = '', ...parameters] = header('content-type').split(';')
  const charset = parameters.map((each) => /^\s*charset\s*=\s*"?([^"\s]*)/i.exec(each)?.[1])
  return {
    status,
    contentType: mediaType.trim().toLowerCase(),
    retryAfterSeconds: readRetryAfter(header('retry-after'), header('date')),
    contentEncoding: header('content-encoding'),
    charset: charset.find((each) => each !== undefined) ?? '',
  }
}

function codeOf(error: Error | undefined): string {
  const { code, cause } = error as { code?: string; cause?: { code?: string } }
  return code ?? cause?.code ?? error?.name ?? 'UNKNOWN'
}
