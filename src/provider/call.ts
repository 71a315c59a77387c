import { isIP } from 'node:net'
import { Client, type Dispatcher } from 'undici'
import { isAllowedHost, type OAuthClient } from './profiles.ts'
import { isPublicAddress, NOT_PUBLIC_CODE, publicLookup } from './public-lookup.ts'

/** Before the first byte of a request is written; afterwards its own limits hold. */
export const CONNECT_LIMIT_MS = 5_000
/** Two tokens of 8 KB fit many times over. What comes after is not read. */
const MAX_ANSWER_BYTES = 256 * 1024

export interface CallRequest {
  method: 'GET' | 'POST'
  /** Absolute, https. */
  url: string
  headers: Record<string, string>
  body?: string
  /** From the first byte written to the end of the answer. */
  limitMs: number
  /** Called in the tick that writes the first byte. Throws: nothing is written. */
  beforeWrite?: () => void
}

export interface CallAnswer {
  status: number
  /** Media type alone, lower case. */
  contentType: string
  retryAfterSeconds: number | undefined
  /** What arrived, also when the connection ended too early. */
  body: string
  isWhole: boolean
}

/**
 * How a call failed without an answer: `code` is for logs, such as ECONNREFUSED.
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

/**
 * The one way out. Every call has a connection of its own (a reset of a pooled one would look as if the
 * request might have been processed), follows no redirect, is never sent again by the HTTP client, goes over https to hosts
 * of the profile alone, at public addresses alone, and to the sandbox alone where the integration has one.
 * Throws `CallFailed`.
 */
export async function call(client: OAuthClient, request: CallRequest): Promise<CallAnswer> {
  const url = new URL(request.url)
  if (!isAllowedHost(client.profile, url.host) || url.protocol !== 'https:')
    throw new CallFailed('HOST_NOT_ALLOWED', false)
  const connection = new Client(client.sandboxOrigin ?? url.origin, {
    connect: client.sandboxOrigin === null ? connectToProvider(url) : connectToSandbox,
    // The one limit is ours, below.
    headersTimeout: 0,
    bodyTimeout: 0,
    pipelining: 0,
  })
  const { promise, resolve, reject } = Promise.withResolvers<CallAnswer>()
  const options: Dispatcher.DispatchOptions = {
    method: request.method,
    path: url.pathname + url.search,
    headers: { ...request.headers, host: url.host },
    body: request.body ?? null,
  }
  connection.dispatch(options, answerReader(request, resolve, reject))
  try {
    return await promise
  } finally {
    connection.destroy().catch(() => {})
  }
}

const connectToSandbox = { timeout: CONNECT_LIMIT_MS }

/** A host that is an address itself is never looked up. The certificate is checked whatever the environment says. */
function connectToProvider({ hostname }: URL) {
  const address = hostname.replace(/^\[|\]$/g, '')
  if (isIP(address) !== 0 && !isPublicAddress(address)) throw new CallFailed(NOT_PUBLIC_CODE, false)
  return { timeout: CONNECT_LIMIT_MS, lookup: publicLookup, rejectUnauthorized: true }
}

function answerReader(
  request: CallRequest,
  resolve: (answer: CallAnswer) => void,
  reject: (error: CallFailed) => void,
): Dispatcher.DispatchHandler {
  let wasWritten = false
  let timer: NodeJS.Timeout | undefined
  let head: Pick<CallAnswer, 'status' | 'contentType' | 'retryAfterSeconds'> | undefined
  const chunks: Buffer[] = []
  let length = 0
  const end = (isWhole: boolean, error?: Error) => {
    clearTimeout(timer)
    if (head === undefined) return reject(new CallFailed(codeOf(error), wasWritten))
    return resolve({ ...head, body: Buffer.concat(chunks).toString('utf8'), isWhole })
  }
  return {
    onRequestStart(controller) {
      request.beforeWrite?.()
      wasWritten = true
      // A process that was stopped runs its timers before it reads its sockets: an answer that lies there
      // already is read first, since setImmediate comes after the sockets.
      const giveUp = () => controller.abort(new CallFailed('TIMEOUT', true))
      timer = setTimeout(() => setImmediate(giveUp), request.limitMs)
    },
    onResponseStart(_controller, status, headers) {
      // An interim answer (1xx) says nothing.
      if (status < 200) return
      const retryAfter = Number(headers['retry-after'])
      head = {
        status,
        contentType:
          String(headers['content-type'] ?? '')
            .split(';')[0]
            ?.trim()
            .toLowerCase() ?? '',
        retryAfterSeconds: retryAfter > 0 ? retryAfter : undefined,
      }
    },
    onResponseData(controller, chunk) {
      length += chunk.length
      chunks.push(chunk)
      if (length > MAX_ANSWER_BYTES) controller.abort(new CallFailed('TOO_LARGE', true))
    },
    onResponseEnd: () => end(true),
    onResponseError: (_controller, error) => end(false, error),
  }
}

function codeOf(error: Error | undefined): string {
  const { code, cause } = error as { code?: string; cause?: { code?: string } }
  return code ?? cause?.code ?? error?.name ?? 'UNKNOWN'
}
