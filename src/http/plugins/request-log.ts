import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'

/**
 * Logs one line per request, with the pattern of the route: the URL may contain a code or a state.
 */
export const requestLogPlugin = fp<{ log: Logger }>(
  async (app, { log }) => {
    const write = (level: 'warn' | 'debug', request: FastifyRequest, reply: FastifyReply) =>
      log[level](
        {
          request_id: request.id,
          method: request.method,
          route: request.routeOptions.url ?? 'none',
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime),
        },
        'request answered',
      )
    // `onSend`, because an `onResponse` hook adds a listener to every response.
    app.addHook('onSend', (request, reply, payload, done) => {
      if (reply.statusCode >= 500) write('warn', request, reply)
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
