import fp from 'fastify-plugin'
import type { Logger } from 'pino'

/** One line a request, with the route's pattern: the URL itself may carry a code or a state. */
export const requestLogPlugin = fp<{ log: Logger }>(
  async (app, { log }) => {
    const isDetailed = log.isLevelEnabled('debug')
    app.addHook('onResponse', (request, reply, done) => {
      const level = reply.statusCode >= 500 ? 'warn' : 'debug'
      if (level === 'debug' && !isDetailed) return done()
      request.log[level](
        {
          method: request.method,
          route: request.routeOptions.url ?? 'none',
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime),
        },
        'request answered',
      )
      done()
    })
  },
  { name: 'request-log', fastify: '5.x' },
)
