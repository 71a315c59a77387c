import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type RequestMetrics, UNROUTED } from '../../monitoring/request-metrics.ts'

interface RequestMetricsOptions {
  requests: RequestMetrics
  listener: 'internal' | 'public'
}

/** Measures each request until its response is ready. HEAD counts as GET. */
export const requestMetricsPlugin = fp<RequestMetricsOptions>(
  async (app, { requests, listener }) => {
    requests.addRoute({ listener, ...UNROUTED })
    app.addHook('onRoute', ({ method, url, config }) => {
      if (config?.hasHits) return
      for (const each of [method].flat()) {
        if (each !== 'HEAD') requests.addRoute({ listener, method: each, route: url })
      }
    })
    // `onSend`, because an `onResponse` hook adds a listener to every response.
    app.addHook('onSend', (request, reply, payload, done) => {
      const { config } = request.routeOptions
      if (!config.hasHits) {
        requests.observe(routeOf(request, listener), reply.statusCode, reply.elapsedTime)
      }
      done(null, payload)
    })
  },
  { name: 'request-metrics', fastify: '5.x' },
)

function routeOf({ method, routeOptions: { url } }: FastifyRequest, listener: string) {
  if (url === undefined) return { listener, ...UNROUTED }
  return { listener, method: method === 'HEAD' ? 'GET' : method, route: url }
}
