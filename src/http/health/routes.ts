import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { LivenessSchema, PublicReadinessSchema, ReadinessSchema } from '../../contract/health.ts'
import type { Health } from '../../monitoring/health.ts'

/** Needs no key, and names no account. */
export const livenessRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/health/live', {
    schema: {
      operationId: 'live',
      tags: ['health'],
      summary: 'Shows that the process answers',
      security: [],
      response: { 200: LivenessSchema },
    },
    handler: () => ({ status: 'ok' as const }),
  })
}

/** Needs no key, and names no account. */
export const readinessRoutes: FastifyPluginAsyncTypebox<{ health: Health }> = async (
  app,
  { health },
) => {
  app.get('/health/ready', {
    schema: {
      ...READY,
      description:
        '503 only while starting, unmigrated or draining; `degraded` names what does not work.',
      response: { 200: ReadinessSchema, 503: ReadinessSchema },
    },
    handler: async (_request, reply) => {
      const readiness = health.readiness()
      return reply.code(codeOf(readiness.status)).send(readiness)
    },
  })
}

/**
 * For probes of the public listener: the internal one may require client certificates, which a
 * kubelet has not. Does not say what does not work.
 */
export const publicReadinessRoutes: FastifyPluginAsyncTypebox<{ health: Health }> = async (
  app,
  { health },
) => {
  app.get('/health/ready', {
    schema: {
      ...READY,
      description: '503 only while starting, unmigrated or draining.',
      response: { 200: PublicReadinessSchema, 503: PublicReadinessSchema },
    },
    handler: async (_request, reply) => {
      const { status } = health.readiness()
      return reply.code(codeOf(status)).send({ status })
    },
  })
}

const READY = {
  operationId: 'ready',
  tags: ['health'],
  summary: 'Shows whether to send requests here',
  security: [],
}

function codeOf(status: ReturnType<Health['readiness']>['status']): 200 | 503 {
  return status === 'ok' || status === 'degraded' ? 200 : 503
}
