import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { Failure, UsageError } from './failure.ts'

/** Longer than the broker itself waits for the provider. */
const LIMIT_MS = 90_000

export interface Call {
  query?: Record<string, string | number | boolean | undefined>
  headers?: Record<string, string>
  body?: unknown
}

export interface BrokerResponse<T> {
  status: number
  body: T
}

/** A problem document (RFC 9457) with the broker's own members. */
interface Problem {
  title?: string
  detail?: string
  remedy?: string
  code?: string
  request_id?: string
  connect_url?: string
  generation?: number
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** Calls the broker and returns the body of its response. Throws as `requestBroker` does. */
export async function callBroker<T>(method: Method, path: string, call: Call = {}): Promise<T> {
  return (await requestBroker<T>(method, path, call)).body
}

/**
 * Calls the broker's internal API. Trusts that the response has the shape of its OpenAPI document.
 * Throws `Failure` with the broker's own remedy.
 */
export async function requestBroker<T>(
  method: Method,
  path: string,
  call: Call = {},
): Promise<BrokerResponse<T>> {
  const base = brokerUrl()
  const url = urlOf(base, path, call.query)
  const headers: Record<string, string> = {
    authorization: `Bearer ${brokerKey()}`,
    ...call.headers,
  }
  if (call.body !== undefined) headers['content-type'] = 'application/json'
  const body = call.body === undefined ? null : JSON.stringify(call.body)
  const signal = AbortSignal.timeout(LIMIT_MS)
  await presentCertificate()
  const options: RequestInit = { method, headers, body, signal, redirect: 'manual' }
  const response = await fetch(url, options).catch((error) => {
    throw unreachable(base, error)
  })
  const parsed: unknown = await readJson(response)
  if (!response.ok) throw failureOf(response, parsed)
  return { status: response.status, body: parsed as T }
}

/**
 * Returns the lines of a stream, until the broker ends it. Throws as `requestBroker` does.
 */
export async function* streamBroker(
  path: string,
  query: Record<string, string | number | undefined>,
): AsyncGenerator<string, void> {
  const base = brokerUrl()
  const url = urlOf(base, path, query)
  await presentCertificate()
  const headers = { authorization: `Bearer ${brokerKey()}`, accept: 'text/event-stream' }
  const response = await fetch(url, { headers, redirect: 'manual' }).catch((error) => {
    throw unreachable(base, error)
  })
  if (!response.ok || response.body === null) throw failureOf(response, await readJson(response))
  yield* createInterface({ input: Readable.fromWeb(response.body) })
}

function urlOf(base: string, path: string, query: Call['query'] = {}): URL {
  const url = new URL(path, base)
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, String(value))
  }
  return url
}

/** Returns the path of an account, or of an action on it. Throws `UsageError`. */
export function accountPath(account: string, action?: string): string {
  if (account === '') throw new UsageError('the account is empty')
  const path = `/accounts/${encodeURIComponent(account)}`
  return action === undefined ? path : `${path}/${action}`
}

/**
 * Collects the pages of a list that is paged by `next` and `after`: all of them, or until there are
 * `limit` rows.
 */
export async function callPages<T>(
  path: string,
  items: string,
  call: Call = {},
  limit = Number.POSITIVE_INFINITY,
): Promise<T[]> {
  const all: T[] = []
  let after: string | undefined
  do {
    const page = await callBroker<Record<string, unknown>>('GET', path, {
      query: { ...call.query, after },
    })
    all.push(...(page[items] as T[]))
    after = (page.next as string | null) ?? undefined
  } while (after !== undefined && all.length < limit)
  return all.slice(0, limit)
}

async function readJson(response: Response): Promise<unknown> {
  const text = await response.text()
  if (!response.headers.get('content-type')?.includes('json')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function failureOf({ status, headers }: Response, body: unknown): Failure {
  if (body === undefined) {
    return new Failure(`HTTP ${status} from a server that is not a broker`, {
      remedy: 'BROKER_URL must be the internal listener, INTERNAL_PORT (3000), not the public one.',
    })
  }
  const { title, detail, remedy, code, request_id, connect_url, generation } = body as Problem
  const link = connect_url === undefined ? '' : ` ${connect_url}`
  return new Failure(`${title ?? `HTTP ${status}`}: ${detail ?? ''}`, {
    remedy: remedy === undefined ? undefined : `${remedy}${link}`,
    code,
    requestId: request_id,
    retryAfterSeconds: Number(headers.get('retry-after')) || undefined,
    generation,
  })
}

/** Sends a client certificate, for brokers that require one (INTERNAL_TLS_CLIENT_CA). */
async function presentCertificate(): Promise<void> {
  const { BROKER_CLIENT_CERT, BROKER_CLIENT_KEY } = process.env
  if (!BROKER_CLIENT_CERT || !BROKER_CLIENT_KEY) return
  const { Agent, setGlobalDispatcher } = await import('undici')
  const connect = { cert: readFileSync(BROKER_CLIENT_CERT), key: readFileSync(BROKER_CLIENT_KEY) }
  setGlobalDispatcher(new Agent({ connect }))
}

/** The error with which `fetch` rejects. */
interface Rejected {
  name: string
  cause?: { code?: string; message?: string }
}

function unreachable(base: string, error: Rejected): Failure {
  const { name, cause } = error
  const reason = name === 'TimeoutError' ? 'TIMEOUT' : (cause?.code ?? cause?.message ?? name)
  return new Failure(`the broker at ${base} does not answer (${reason})`, {
    remedy: 'Start it, or set BROKER_URL to its internal listener.',
  })
}

function brokerUrl(): string {
  const { BROKER_URL, INTERNAL_HOST, INTERNAL_PORT, INTERNAL_TLS_CERT } = process.env
  if (!BROKER_URL) {
    const isAny = !INTERNAL_HOST || INTERNAL_HOST === '0.0.0.0' || INTERNAL_HOST === '::'
    const scheme = INTERNAL_TLS_CERT ? 'https' : 'http'
    return `${scheme}://${isAny ? '127.0.0.1' : INTERNAL_HOST}:${INTERNAL_PORT || 3000}`
  }
  const url = URL.parse(BROKER_URL)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Failure('BROKER_URL must be a URL that starts with http:// or https://')
  }
  return url.origin
}

/** Returns the key to send. The operator key of this machine's broker goes to no other broker. */
function brokerKey(): string {
  const { BROKER_URL, BROKER_KEY, OPERATOR_KEY, DATA_DIR, DATABASE_URL } = process.env
  const key =
    BROKER_KEY || (BROKER_URL ? undefined : OPERATOR_KEY || ownKey(DATA_DIR, DATABASE_URL))
  if (key !== undefined) return key
  throw new Failure('BROKER_KEY is missing', {
    remedy:
      'Set it to a key of this broker. On its own machine its OPERATOR_KEY is used, for example from .env.',
  })
}

/** Reads the key that a broker in embedded mode made for itself. */
function ownKey(dataDir: string | undefined, databaseUrl: string | undefined): string | undefined {
  if (databaseUrl) return undefined
  try {
    return readFileSync(join(dataDir || './data', 'operator.key'), 'utf8').trim()
  } catch {
    return undefined
  }
}
