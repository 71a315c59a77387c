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
  const nextTurn = createTurns()
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
          content: { 'text/plain': { schema: Type.Unsafe<Buffer>(Type.String()) } },
        },
      },
    },
    handler: async (request, reply) => {
      const texts = [await open(), ...((await isMonitor(request)) ? [await ofClients()] : [])]
      await nextTurn()
      return reply.type(registry.contentType).send(Buffer.concat(texts))
    },
  })
}

/**
 * Returns a function that lets its callers go on one after the other, with a turn of the event loop
 * between two. Many who scrape at once delay a read by one response, and not by all of them.
 */
function createTurns(): () => Promise<void> {
  let last = Promise.resolve()
  return () => {
    last = last.then(() => setImmediate())
    return last
  }
}

/** Returns a function whose callers share the work that is running: anybody may scrape. */
function shared<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
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
async function render(registry: Registry): Promise<Buffer> {
  const texts: string[] = []
  for (const { name } of registry.getMetricsAsArray()) {
    const text = await registry.getSingleMetricAsString(name).catch(() => undefined)
    if (text !== undefined) texts.push(text)
    await setImmediate()
  }
  return Buffer.from(`${texts.join('\n\n')}\n`)
}
