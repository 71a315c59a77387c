import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The route answers programs with JSON only, so headers that protect pages are left out. The
     * route sets its own cache headers.
     */
    isForPrograms?: true
  }
}

/** Headers that protect a JSON response that holds a token (RFC 6749 §5.1). */
export const TOKEN_HEADERS = {
  'cache-control': 'no-store',
  vary: 'Authorization',
  'x-content-type-options': 'nosniff',
} as const

/** For responses that are not pages: a browser loads nothing and frames nothing. */
const NO_PAGE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

const SECURITY_HEADERS = [
  ['cache-control', 'no-store'],
  ['content-security-policy', NO_PAGE],
  ['cross-origin-resource-policy', 'same-origin'],
  ['referrer-policy', 'no-referrer'],
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
] as const

/**
 * Adds security headers to every response. A header that a route has set stays, because pages have
 * their own policy. There is no CORS, because no other origin needs access.
 */
export const securityHeadersPlugin = fp(
  async (app) => {
    app.addHook('onSend', (request, reply, payload, done) => {
      if (request.routeOptions.config.isForPrograms) {
        reply.headers(TOKEN_HEADERS)
        return done(null, payload)
      }
      for (const [name, value] of SECURITY_HEADERS) {
        if (!reply.hasHeader(name)) reply.header(name, value)
      }
      done(null, payload)
    })
  },
  { name: 'security-headers', fastify: '5.x' },
)
