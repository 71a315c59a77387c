import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import { runInRequest } from '../../lib/request-context.ts'

/**
 * While a store or the provider is away, every read is answered 503. One line of each code within
 * this time is enough.
 */
const REPEAT_MS = 60_000
const UNAVAILABLE = 503

/**
 * Logs one line per request, with the pattern of the route: the URL may contain a code or a state.
 */
export const requestLogPlugin = fp<{ log: Logger }>(
  async (app, { log }) => {
    const write = (level: 'warn' | 'debug', request: FastifyRequest, reply: FastifyReply) => {
      const fields = {
        method: request.method,
        route: request.routeOptions.url ?? 'none',
        status: reply.statusCode,
        code: request.audited?.outcome,
        ms: Math.round(reply.elapsedTime),
      }
      runInRequest(request, () => log[level](fields, 'request answered'))
    }
    const warnedMs = new Map<string, number>()
    const isRepeated = (code = '') => {
      const nowMs = performance.now()
      if (nowMs - (warnedMs.get(code) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return true
      warnedMs.set(code, nowMs)
      return false
    }
    // `onSend`, because an `onResponse` hook adds a listener to every response.
    app.addHook('onSend', (request, reply, payload, done) => {
      const { statusCode } = reply
      if (statusCode >= 500) {
        const isRepetition = statusCode === UNAVAILABLE && isRepeated(request.audited?.outcome)
        write(isRepetition ? 'debug' : 'warn', request, reply)
      }
      done(null, payload)
    })
    if (!log.isLevelEnabled('debug')) return
    app.addHook('onResponse', (request, reply, done) => {
      if (reply.statusCode < 500) write('debug', request, reply)
      done()
    })
  },
  { name: 'request-log', fastify: '5.x' },
)
