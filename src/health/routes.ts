import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Health } from './service.ts'

/** Open, and names no account. */
export const livenessRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/health/live', {
    schema: {
      operationId: 'live',
      tags: ['health'],
      summary: 'The process answers',
      security: [],
      response: { 200: Type.Object({ status: Type.Literal('ok') }) },
    },
    handler: () => ({ status: 'ok' as const }),
  })
}

const Readiness = Type.Object({
  status: Type.Enum(['ok', 'degraded', 'starting', 'unmigrated', 'draining']),
  mode: Type.Enum(['embedded', 'standalone', 'replicated']),
  degraded: Type.Array(Type.String({ description: 'what is down, and what that means' })),
})

/** Open, and names no account. */
export const readinessRoutes: FastifyPluginAsyncTypebox<{ health: Health }> = async (
  app,
  { health },
) => {
  app.get('/health/ready', {
    schema: {
      operationId: 'ready',
      tags: ['health'],
      summary: 'Whether to send requests here',
      description:
        '503 only while starting, unmigrated or draining; `degraded` names what is down.',
      security: [],
      response: { 200: Readiness, 503: Readiness },
    },
    handler: async (_request, reply) => {
      const readiness = health.readiness()
      const isReady = readiness.status === 'ok' || readiness.status === 'degraded'
      return reply.code(isReady ? 200 : 503).send(readiness)
    },
  })
}
