import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { RequestMetrics } from '../../monitoring/request-metrics.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The requests are counted with the audit, because a hit runs no hook at its end. */
    isTallied?: true
  }
}

interface RequestMetricsOptions {
  requests: RequestMetrics
  listener: 'internal' | 'public'
}

/** Measures each request until its response is ready. A path that no route has is `none`. */
export const requestMetricsPlugin = fp<RequestMetricsOptions>(
  async (app, { requests, listener }) => {
    app.addHook('onRoute', ({ method, url, config }) => {
      if (config?.isTallied) return
      for (const each of [method].flat()) {
        if (each !== 'HEAD') requests.addRoute({ listener, method: each, route: url })
      }
    })
    // `onSend`, because an `onResponse` hook adds a listener to every response.
    app.addHook('onSend', (request, reply, payload, done) => {
      const { config } = request.routeOptions
      if (!config.isTallied) {
        requests.observe(routeOf(request, listener), reply.statusCode, reply.elapsedTime)
      }
      done(null, payload)
    })
  },
  { name: 'request-metrics', fastify: '5.x' },
)

function routeOf({ method, routeOptions }: FastifyRequest, listener: string) {
  return { listener, method, route: routeOptions.url ?? 'none' }
}
