import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../../lib/errors.ts'

const SAFE = ['GET', 'HEAD', 'OPTIONS']
const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]']

/**
 * Returns the origins under which browsers may open the console: CONSOLE_URL, and all names of
 * loopback if it is one of them.
 */
function consoleOrigins(consoleUrl: string): string[] {
  const { protocol, hostname, port } = new URL(consoleUrl)
  if (!LOOPBACK.includes(hostname)) return [consoleUrl]
  const colon = port === '' ? '' : `:${port}`
  return LOOPBACK.map((name) => `${protocol}//${name}${colon}`)
}

/**
 * Refuses requests for another host, which a page of another name sends after it has rebound that
 * name to this address, and unsafe requests that no page of the console sent.
 */
export function guardOrigin(app: FastifyInstance, consoleUrl: string): void {
  const origins = consoleOrigins(consoleUrl)
  const hosts = origins.map((origin) => new URL(origin).host)
  app.addHook('onRequest', (request, _reply, done) => {
    if (!hosts.includes(request.headers.host ?? '')) {
      const detail = `The console is at ${consoleUrl}.`
      const remedy = 'Open that address. To use another one, set CONSOLE_URL to it and restart.'
      return done(new BrokerError('bad_request', detail, { members: { remedy } }))
    }
    if (SAFE.includes(request.method) || isOwn(request.headers, origins)) return done()
    const detail = 'The request does not come from a page of this console. Nothing was done.'
    const remedy = 'Go back to the page of the console and try again there.'
    done(new BrokerError('forbidden', detail, { members: { remedy } }))
  })
}

/** Returns whether a page of the console sent a request. One of both headers is enough. */
function isOwn(headers: IncomingHttpHeaders, origins: readonly string[]): boolean {
  const { origin } = headers
  const site = headers['sec-fetch-site']
  if (origin !== undefined && !origins.includes(origin)) return false
  if (site !== undefined) return site === 'same-origin'
  return origin !== undefined
}
