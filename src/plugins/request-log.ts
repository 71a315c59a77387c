import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'

/** One line a request, with the route's pattern: the URL itself may carry a code or a state. */
export const requestLogPlugin = fp<{ log: Logger }>(
  async (app, { log }) => {
    const tell = (level: 'warn' | 'debug', request: FastifyRequest, reply: FastifyReply) =>
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
    // Before it leaves: a hook behind the end costs a listener on every answer.
    app.addHook('onSend', (request, reply, payload, done) => {
      if (reply.statusCode >= 500) tell('warn', request, reply)
      done(null, payload)
    })
    if (!log.isLevelEnabled('debug')) return
    app.addHook('onResponse', (request, reply, done) => {
      if (reply.statusCode < 500) tell('debug', request, reply)
      done()
    })
  },
  { name: 'request-log', fastify: '5.x' },
)
