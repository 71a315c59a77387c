import fp from 'fastify-plugin'

/** For what is no page: a browser that is led here shows nothing, loads nothing and frames nothing. */
const NO_PAGE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

/**
 * On every answer. What a route set itself stays: pages have a policy of their own, and the token's contract says how long it
 * may be kept. There is no CORS: no browser of another origin has any business here.
 */
export const securityHeadersPlugin = fp(
  async (app) => {
    app.addHook('onSend', async (_request, reply) => {
      const add = (name: string, value: string) => {
        if (!reply.hasHeader(name)) reply.header(name, value)
      }
      add('cache-control', 'no-store')
      add('content-security-policy', NO_PAGE)
      add('cross-origin-resource-policy', 'same-origin')
      add('referrer-policy', 'no-referrer')
      add('x-content-type-options', 'nosniff')
      add('x-frame-options', 'DENY')
    })
  },
  { name: 'security-headers', fastify: '5.x' },
)
