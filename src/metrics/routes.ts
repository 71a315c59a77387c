import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Registry } from 'prom-client'
import { Type } from 'typebox'

/** Open, and names no account: integrations and codes are all that the labels tell. */
export const metricsRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (
  app,
  { registry },
) => {
  app.get('/metrics', {
    schema: {
      operationId: 'metrics',
      tags: ['health'],
      summary: 'For Prometheus',
      security: [],
      response: { 200: { content: { 'text/plain': { schema: Type.String() } } } },
    },
    handler: async (_request, reply) => {
      const text = await metricsOf(registry)
      return reply.type(registry.contentType).send(text)
    },
  })
}

/** Counters without a database in between are told also while PostgreSQL is silent: one failing look hides only itself. */
async function metricsOf(registry: Registry): Promise<string> {
  const names = registry.getMetricsAsArray().map(({ name }) => name)
  const texts = await Promise.all(
    names.map((name) => registry.getSingleMetricAsString(name).catch(() => '')),
  )
  return `${texts.filter((text) => text !== '').join('\n\n')}\n`
}
