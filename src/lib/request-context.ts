import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingHttpHeaders } from 'node:http'
import { parseTraceparent, type Traceparent } from './traceparent.ts'

/** Identifies the request that caused a log line. */
interface RequestFields {
  request_id: string
  /** Trace of the caller (W3C Trace Context), when it sent one beside its own request id. */
  trace_id?: string
}

/** The part of a request that identifies it. */
interface RequestOrigin {
  readonly id: string
  readonly headers: IncomingHttpHeaders
}

const storage = new AsyncLocalStorage<RequestOrigin>()

/**
 * Runs a function, and everything that it starts, as part of a request. Stores the request itself:
 * most requests write no log line, so nothing is computed for them.
 */
export function runInRequest<T>(origin: RequestOrigin, run: () => T): T {
  return storage.run(origin, run)
}

/**
 * Returns what every log line of the present request carries; empty outside of a request. For
 * pino's `mixin`, because a logger per request would cost more than a token does.
 */
export function requestFields(): RequestFields | Record<string, never> {
  const origin = storage.getStore()
  if (origin === undefined) return {}
  const trace = requestTrace()?.traceId
  return trace === undefined || trace === origin.id
    ? { request_id: origin.id }
    : { request_id: origin.id, trace_id: trace }
}

/** Returns the caller's span. @returns undefined outside of a request, or when it sent none. */
export function requestTrace(): Traceparent | undefined {
  return parseTraceparent(storage.getStore()?.headers.traceparent)
}
