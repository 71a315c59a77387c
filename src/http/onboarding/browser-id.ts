import { randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Integration } from '../../integrations/integration.ts'

const BROWSER_ID_BYTES = 18
const BROWSER_ID = /^[\w-]{24}$/

/** @returns undefined when the browser has no valid cookie */
export function findBrowserId(
  request: FastifyRequest,
  integration: Integration,
): string | undefined {
  const id = request.cookies[cookieName(integration)]
  return id !== undefined && BROWSER_ID.test(id) ? id : undefined
}

/** Returns the id of the browser, and sets its cookie. */
export function ensureBrowserId(
  request: FastifyRequest,
  reply: FastifyReply,
  integration: Integration,
): string {
  const id =
    findBrowserId(request, integration) ?? randomBytes(BROWSER_ID_BYTES).toString('base64url')
  reply.setCookie(cookieName(integration), id, {
    path: '/',
    httpOnly: true,
    sameSite: 'lax',
    secure: integration.redirectUri.startsWith('https:'),
  })
  return id
}

/**
 * `__Host-` binds a cookie to this host and to https. Browsers refuse it on plain http, which is
 * only allowed on loopback.
 */
function cookieName({ redirectUri }: Integration): string {
  return redirectUri.startsWith('https:') ? '__Host-amo-connect' : 'amo-connect'
}
