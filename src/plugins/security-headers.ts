import fp from 'fastify-plugin'

/** For what is no page: a browser that is led here shows nothing, loads nothing and frames nothing. */
const NO_PAGE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

export const SECURITY_HEADERS = [
  ['cache-control', 'no-store'],
  ['content-security-policy', NO_PAGE],
  ['cross-origin-resource-policy', 'same-origin'],
  ['referrer-policy', 'no-referrer'],
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
] as const

/**
 * On every answer. What a route set itself stays: pages have a policy of their own, and the token's contract says how long it
 * may be kept. There is no CORS: no browser of another origin has any business here.
 */
export const securityHeadersPlugin = fp(
  async (app) => {
    app.addHook('onSend', (_request, reply, payload, done) => {
      for (const [name, value] of SECURITY_HEADERS) {
        if (!reply.hasHeader(name)) reply.header(name, value)
      }
      done(null, payload)
    })
  },
  { name: 'security-headers', fastify: '5.x' },
)
