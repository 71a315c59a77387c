import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { requireOperator } from '../../clients/caller.ts'
import { BrokerError } from '../../lib/errors.ts'
import { SESSION_SECONDS, type Session, type Sessions } from '../../sessions/sessions.ts'

declare module 'fastify' {
  interface FastifyRequest {
    session: Session | null
  }
  interface FastifyContextConfig {
    /** A page of the console that needs no session: sign-in, assets. */
    isOpen?: true
    /** An unsafe request that monitors may make, too. */
    isForMonitors?: true
  }
}

const SAFE = ['GET', 'HEAD']
const CONSOLE_PATH = /^\/console(?:[/?][\x21-\x5b\x5d-\x7e]*)?$/

/** Requires a session for every page of a scope, and the role operator for every change. */
export function guardSession(app: FastifyInstance, sessions: Sessions, cookieName: string): void {
  app.decorateRequest('session', null)
  app.decorateRequest('caller', null)
  app.addHook('onRequest', async (request, reply) => {
    const { isOpen, isForMonitors } = request.routeOptions.config
    if (isOpen) return undefined
    const token = request.cookies[cookieName]
    request.session =
      token === undefined ? null : ((await sessions.find(token, !isPoll(request))) ?? null)
    if (request.session === null) return leadToSignIn(request, reply, token !== undefined)
    const { caller, isFromMemory } = request.session
    request.caller = caller
    if (isFromMemory) {
      throw new BrokerError('storage_unavailable', 'PostgreSQL does not answer.')
    }
    if (!SAFE.includes(request.method) && !isForMonitors) requireOperator(caller)
    return undefined
  })
}

/** Returns whether htmx polls a part of a page, without a click of the person. */
export function isPoll({ method, headers }: FastifyRequest): boolean {
  return method === 'GET' && headers['hx-request'] !== undefined
}

/** Returns a path of the console to return to after signing in: `path`, or the home page. */
export function returnPath(path: string | undefined): string {
  return path !== undefined && CONSOLE_PATH.test(path) ? path : '/console'
}

/** Sets the cookie of a session. `Lax`, because links in messages and OpenID Connect lead here. */
export function setSessionCookie(reply: FastifyReply, name: string, token: string): void {
  reply.setCookie(name, token, { ...cookieOptions(name), maxAge: SESSION_SECONDS })
}

/** Returns the options of every cookie of the console. */
export function cookieOptions(name: string) {
  const secure = name.startsWith('__Secure-')
  return { path: '/console', httpOnly: true, sameSite: 'lax', secure } as const
}

/** `__Secure-` makes browsers refuse the cookie on plain http, which only loopback has. */
export function cookieNameFor(consoleUrl: string, name: string): string {
  return consoleUrl.startsWith('https:') ? `__Secure-amo-${name}` : `amo-${name}`
}

/** The page that was asked for, or the one that has the form, opens again after signing in. */
function leadToSignIn(
  request: FastifyRequest,
  reply: FastifyReply,
  hasEnded: boolean,
): FastifyReply {
  const referer = URL.parse(request.headers.referer ?? '')
  const path = SAFE.includes(request.method)
    ? request.url
    : `${referer?.pathname ?? ''}${referer?.search ?? ''}`
  const next = returnPath(path)
  const ended = hasEnded ? { ended: '1' } : {}
  const url = `/console/sign-in?${new URLSearchParams({ ...ended, next })}`
  reply.header('cache-control', 'no-store')
  // A redirect would put the sign-in page into a part of the page.
  if (isPoll(request)) return reply.code(401).header('hx-redirect', url).send()
  return reply.redirect(url, 303)
}
