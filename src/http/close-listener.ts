import type { FastifyInstance } from 'fastify'

const CHECK_INTERVAL_MS = 100
/** No request takes longer. A connection that is still open then has sent none. */
const REQUESTS_END_MS = 15_000

/**
 * Closes a listener after the requests in progress were answered. Node ends connections only if
 * they are idle when closing begins. A connection that becomes idle later would stay open until its
 * keep-alive ends, so they are ended here.
 */
export async function closeListener(app: FastifyInstance): Promise<void> {
  const idle = setInterval(() => app.server.closeIdleConnections(), CHECK_INTERVAL_MS)
  const silent = setTimeout(() => app.server.closeAllConnections(), REQUESTS_END_MS)
  try {
    await app.close()
  } finally {
    clearInterval(idle)
    clearTimeout(silent)
  }
}
