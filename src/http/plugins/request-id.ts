import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import fp from 'fastify-plugin'
import { runInRequest } from '../../lib/request-context.ts'
import { parseTraceparent } from '../../lib/traceparent.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The route answers most requests from memory. Such a hit runs no hook at its end, logs nothing
     * and waits for nothing, so it must not pay for what other requests need. The audit counts the
     * requests, and the route itself calls `runInRequest` for those that memory cannot answer.
     */
    hasHits?: true
  }
}

export const REQUEST_ID_HEADER = 'x-request-id'

/** What may stand in a log line and in a header unchanged. */
const WELL_FORMED = /^[A-Za-z0-9][\w.:-]{0,127}$/
const START_ID_BYTES = 8
const RADIX = 36

/**
 * Makes every log line of a request carry its id, and returns the id in a header.
 */
export const requestIdPlugin = fp(
  async (app) => {
    app.addHook('onRequest', (request, _reply, done) => {
      if (request.routeOptions.config.hasHits) return done()
      runInRequest(request, done)
    })
    app.addHook('onSend', (request, reply, payload, done) => {
      reply.header(REQUEST_ID_HEADER, request.id)
      done(null, payload)
    })
  },
  { name: 'request-id', fastify: '5.x' },
)

/**
 * Returns a function that gives each request an id: the caller's `X-Request-Id` if it is
 * well-formed, else the trace id of its `traceparent`, else an id that is unique across starts. A
 * UUID per request would cost as much as finding a token.
 */
export function createRequestIds(): (request: { headers: IncomingHttpHeaders }) => string {
  const start = randomBytes(START_ID_BYTES).toString('hex')
  let requests = 0
  return ({ headers }) => {
    const given = headers[REQUEST_ID_HEADER]
    if (typeof given === 'string' && WELL_FORMED.test(given)) return given
    return (
      parseTraceparent(headers.traceparent)?.traceId ?? `${start}-${(requests++).toString(RADIX)}`
    )
  }
}
