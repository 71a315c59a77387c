import type { FastifyReply, FastifyRequest } from 'fastify'
import { sendPublicPage, textsFor } from './send-public-page.ts'

/** Returns whether a request is one of a browser that opens a page. */
export function isBrowser({ method, headers }: FastifyRequest): boolean {
  return (method === 'GET' || method === 'HEAD') && /\btext\/html\b/.test(headers.accept ?? '')
}

/** Sends the page of the public listener at `/`, and with 404 at every path that does not exist. */
export function sendNothingHerePage(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const [pathname] = request.url.split('?')
  const { title, text } = textsFor(request).texts.nothingHere
  return sendPublicPage(request, reply, {
    status: pathname === '/' ? 200 : 404,
    mark: '∅',
    title,
    text,
  })
}
