import { TLSSocket } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../../lib/errors.ts'

/** Probes and Prometheus of a platform have no certificate of ours. These tell no secret. */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/health/live', '/health/ready', '/metrics'])

/**
 * Refuses every request of a connection without a certificate of the right authority, apart from
 * those of probes. Also refuses what no route serves.
 */
export function requireClientCertificates(app: FastifyInstance): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const { socket } = request.raw
    const isCertain = socket instanceof TLSSocket && socket.authorized
    if (isCertain || OPEN_PATHS.has(request.routeOptions.url ?? '')) return done()
    return done(new BrokerError('unauthorized', 'This listener requires a client certificate.'))
  })
}
