import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { BrokerError } from '../../../lib/errors.ts'
import { html } from '../../../lib/html.ts'
import { Type } from '../../../lib/type.ts'
import type { OpenIdSignIn, PendingSignIn } from '../../../sessions/open-id.ts'
import { readForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { cookieNameFor, cookieOptions, returnPath } from '../session-guard.ts'
import { openSession } from './open-session.ts'

const BeginForm = Type.Object({ next: Type.Optional(Type.String({ maxLength: 2_000 })) })
/** Long enough to sign in at the provider. */
const PENDING_SECONDS = 600

interface OpenIdOptions extends Broker {
  openId: OpenIdSignIn
}

/** Signs people in through OpenID Connect. */
export const openIdRoutes: FastifyPluginAsyncTypebox<OpenIdOptions> = async (app, options) => {
  const { openId, consoleUrl } = options
  const cookieName = cookieNameFor(consoleUrl, 'oidc')

  app.post('/console/sign-in/oidc', {
    schema: { hide: true, operationId: 'beginSignIn' },
    config: { isOpen: true },
    handler: async (request, reply) => {
      const read = readForm(request, BeginForm)
      const next = returnPath(read.isValid ? read.data.next : undefined)
      const { url, pending } = await openId.begin()
      reply.setCookie(cookieName, JSON.stringify({ ...pending, next }), {
        ...cookieOptions(cookieName),
        maxAge: PENDING_SECONDS,
      })
      // Browsers apply the policy for forms to redirects, too, and the provider may redirect on.
      const title = 'Sign in with your provider'
      const main = html`<p><a class="button primary" href="${url}">Go on to ${new URL(url).hostname}</a></p>`
      reply.header('refresh', `0; url=${url}`)
      return sendPage(request, reply, {
        title,
        section: null,
        main,
        width: 'alone',
        holdsSecret: true,
      })
    },
  })

  app.get('/console/sign-in/oidc/callback', {
    schema: { hide: true, operationId: 'signInWithOpenId' },
    config: { isOpen: true },
    handler: async (request, reply) => {
      const pending = readPending(request.cookies[cookieName])
      reply.clearCookie(cookieName, cookieOptions(cookieName))
      if (pending === undefined) {
        const members = { remedy: 'Sign in again, in one window, within ten minutes.' }
        throw new BrokerError('unauthorized', 'This sign-in was not started here.', { members })
      }
      const identity = await openId.finish(request.url.split('?')[1] ?? '', pending)
      await openSession(request, reply, options, identity)
      return reply.redirect(returnPath(pending.next), 303)
    },
  })
}

/** @returns undefined when the browser kept nothing, or something else */
function readPending(cookie: string | undefined): (PendingSignIn & { next: string }) | undefined {
  try {
    const pending: unknown = JSON.parse(cookie ?? '')
    const { verifier, state, nonce, next } = pending as Record<string, unknown>
    if (![verifier, state, nonce, next].every((each) => typeof each === 'string')) return undefined
    return pending as PendingSignIn & { next: string }
  } catch {
    return undefined
  }
}
