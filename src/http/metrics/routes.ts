import { setImmediate } from 'node:timers/promises'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Registry } from '@prometheus-io/client'
import type { FastifyRequest } from 'fastify'
import { Type } from '../../lib/type.ts'

interface MetricsRoutesOptions {
  /** Metrics that name no client and no account. Anybody may see them. */
  registry: Registry
  /** Metrics that name clients. */
  byClient: Registry
  /** Returns whether the request carries the key of a client that is a monitor or an operator. */
  isMonitor(request: FastifyRequest): Promise<boolean>
}

/**
 * Needs no key. The labels contain integrations and codes, but no account, and clients only for a
 * monitor.
 */
export const metricsRoutes: FastifyPluginAsyncTypebox<MetricsRoutesOptions> = async (
  app,
  { registry, byClient, isMonitor },
) => {
  const open = shared(() => render(registry))
  const ofClients = shared(() => render(byClient))
  app.get('/metrics', {
    schema: {
      operationId: 'metrics',
      tags: ['health'],
      summary: 'Returns the metrics for Prometheus',
      description:
        'Needs no key. With the key of a monitor it also has the reads of tokens by client.',
      security: [],
      response: {
        200: {
          description: 'the metrics, in the text format of Prometheus',
          content: { 'text/plain': { schema: Type.String() } },
        },
      },
    },
    handler: async (request, reply) => {
      const texts = [await open(), ...((await isMonitor(request)) ? [await ofClients()] : [])]
      return reply.type(registry.contentType).send(texts.join('\n'))
    },
  })
}

/** Returns a function whose callers share the work that is running: anybody may scrape. */
function shared(work: () => Promise<string>): () => Promise<string> {
  let running: Promise<string> | undefined
  return () => {
    running ??= work().finally(() => {
      running = undefined
    })
    return running
  }
}

/**
 * Renders each metric on its own, so that one whose query fails while PostgreSQL is down does not
 * hide the others. Reads are served between two metrics.
 */
async function render(registry: Registry): Promise<string> {
  const texts: string[] = []
  for (const { name } of registry.getMetricsAsArray()) {
    const text = await registry.getSingleMetricAsString(name).catch(() => undefined)
    if (text !== undefined) texts.push(text)
    await setImmediate()
  }
  return `${texts.join('\n\n')}\n`
}
