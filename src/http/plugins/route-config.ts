import 'fastify'

declare module 'fastify' {
  /** Options of a route that plugins read. */
  interface FastifyContextConfig {
    /**
     * The route answers programs with JSON only, so headers that protect pages are left out. The
     * route sets its own cache headers.
     */
    isForPrograms?: true
    /**
     * The route answers most requests from memory. Such a hit runs no hook at its end, logs nothing
     * and waits for nothing, so it must not pay for what other requests need: the audit counts the
     * requests, and the route itself calls `runInRequest` before anything else than a hit.
     */
    hasHits?: true
  }
}
