import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Html, html } from '../../lib/html.ts'
import { cookieOptions } from './session-guard.ts'

const NAME = 'amo-note'
/** Long enough for the page that follows. */
const LIFETIME_SECONDS = 30
const MAX_CHARACTERS = 500

/**
 * Leads from a form to a page that says once what was done. The note is never a secret, because it
 * stays in a cookie until the page is shown.
 */
export function redirectWith(reply: FastifyReply, path: string, note: string): FastifyReply {
  reply.setCookie(NAME, note.slice(0, MAX_CHARACTERS), {
    ...cookieOptions(NAME),
    maxAge: LIFETIME_SECONDS,
  })
  return reply.header('cache-control', 'no-store').redirect(path, 303)
}

/** Returns the note for this page, and forgets it. */
export function takeNote(request: FastifyRequest, reply: FastifyReply): Html | undefined {
  const note = request.cookies?.[NAME]
  if (note === undefined) return undefined
  reply.clearCookie(NAME, cookieOptions(NAME))
  return html`<div class="band good" role="status"><b>${note.slice(0, MAX_CHARACTERS)}</b></div>`
}
