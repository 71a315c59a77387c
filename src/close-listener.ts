import type { FastifyInstance } from 'fastify'

const LOOK_INTERVAL_MS = 100
/** No request takes longer; what is still open then has sent none. */
const REQUESTS_END_MS = 15_000

/**
 * Closes a listener: requests under way are answered. A connection that falls idle only afterwards, its last answer given
 * without `Connection: close`, would be waited for as long as keep-alive lasts: Node ends those that are idle when the closing begins,
 * and looks no more.
 */
export async function closeListener(app: FastifyInstance): Promise<void> {
  const idle = setInterval(() => app.server.closeIdleConnections(), LOOK_INTERVAL_MS)
  const silent = setTimeout(() => app.server.closeAllConnections(), REQUESTS_END_MS)
  try {
    await app.close()
  } finally {
    clearInterval(idle)
    clearTimeout(silent)
  }
}
