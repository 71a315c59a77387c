import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { BrokerError } from '../../../lib/errors.ts'
import { type Html, html } from '../../../lib/html.ts'
import { Type } from '../../../lib/type.ts'
import { beginAct } from '../../plugins/audit.ts'
import type { CountGuess } from '../../plugins/guess-limit.ts'
import { formProblem, hiddenFields, secretField } from '../fields.ts'
import { redirectWith } from '../flash.ts'
import { emptyForm, type Form, readForm, refusedForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { cookieNameFor, cookieOptions, returnPath } from '../session-guard.ts'
import { openIdRoutes } from './open-id-routes.ts'
import { openSession } from './open-session.ts'

const SignInForm = Type.Object({
  key: Type.String({ maxLength: 200 }),
  next: Type.Optional(Type.String({ maxLength: 2_000 })),
})
const SignInQuery = Type.Object({
  next: Type.Optional(Type.String({ maxLength: 2_000 })),
  ended: Type.Optional(Type.String({ maxLength: 1 })),
})
const LinkParams = Type.Object({ link: Type.String({ maxLength: 100 }) })

export interface SignInOptions extends Broker {
  countGuess: CountGuess
}

/** Opens and ends sessions: with a key, or with a one-time link. */
export const signInRoutes: FastifyPluginAsyncTypebox<SignInOptions> = async (app, options) => {
  const { sessions, signInLinks, database, consoleUrl, countGuess, openId } = options
  const cookieName = cookieNameFor(consoleUrl, 'console')
  if (openId !== null) await app.register(openIdRoutes, { ...options, openId })

  app.get('/console/sign-in', {
    schema: { hide: true, operationId: 'showSignIn', querystring: SignInQuery },
    config: { isOpen: true },
    handler: (request, reply) => {
      const { next, ended } = request.query
      return sendSignInPage(
        request,
        reply,
        openId !== null,
        emptyForm({ next: next ?? '' }),
        ended !== undefined,
      )
    },
  })

  app.post('/console/sign-in', {
    schema: { hide: true, operationId: 'signIn' },
    config: { isOpen: true },
    handler: async (request, reply) => {
      const read = readForm(request, SignInForm)
      if (!read.isValid) return sendSignInPage(request, reply, openId !== null, read.form)
      try {
        const identity = await sessions.identify(read.data.key)
        if (identity === undefined) {
          await countGuess(request)
          throw new BrokerError('unauthorized', 'The key is unknown, expired or revoked.', {
            members: { remedy: '' },
          })
        }
        await openSession(request, reply, options, identity)
      } catch (error) {
        return sendSignInPage(request, reply, openId !== null, refusedForm(read.form, error, 'key'))
      }
      return reply.redirect(returnPath(read.data.next), 303)
    },
  })

  app.post('/console/sign-out', {
    schema: { hide: true, operationId: 'signOut' },
    config: { isForMonitors: true },
    handler: async (request, reply) => {
      const token = request.cookies[cookieName]
      if (token !== undefined) await sessions.end(token, beginAct(request))
      reply.clearCookie(cookieName, cookieOptions(cookieName))
      return redirectWith(reply, '/console/sign-in', 'You are signed out.')
    },
  })

  app.get('/console/enter/:link', {
    schema: { hide: true, operationId: 'showSignInLink', params: LinkParams },
    config: { isOpen: true },
    handler: (request, reply) => {
      const main = html`<p>The link works once. It signs you in to this console.</p>
<form method="post" action="/console/enter/${request.params.link}"><button class="primary">Sign in</button></form>`
      const title = 'Sign in with a link'
      return sendPage(request, reply, {
        title,
        section: null,
        main,
        width: 'alone',
        holdsSecret: true,
      })
    },
  })

  app.post('/console/enter/:link', {
    schema: { hide: true, operationId: 'signInWithLink', params: LinkParams },
    config: { isOpen: true },
    handler: async (request, reply) => {
      const { link } = request.params
      const identity = await database.db.transaction().execute((trx) => signInLinks.use(trx, link))
      if (identity === undefined) {
        await countGuess(request)
        const form = emptyForm()
        const text =
          'The link was used before, or is older than five minutes. Make another one with amo-broker console, or sign in with a key.'
        return sendSignInPage(request, reply, openId !== null, { ...form, errors: { '': text } })
      }
      await openSession(request, reply, options, identity)
      return reply.redirect('/console', 303)
    },
  })
}

function sendSignInPage(
  request: FastifyRequest,
  reply: FastifyReply,
  hasOpenId: boolean,
  form: Form,
  hasEnded = false,
): FastifyReply {
  const isRefused = Object.keys(form.errors).length > 0
  const next = typeof form.values.next === 'string' ? form.values.next : ''
  const main = html`${hasEnded && html`<p>Your session has ended. Sign in to go on where you were.</p>`}
${hasOpenId && openIdForm(next)}
<form method="post" action="/console/sign-in">${formProblem(form)}${hiddenFields({ next: returnPath(next) })}
${secretField(form, {
  name: 'key',
  label: 'Key',
  hint: 'OPERATOR_KEY, or the key of a client with the role operator or monitor.',
  isRequired: true,
  autocomplete: 'current-password',
})}
<button class="primary">Sign in</button></form>
<p class="muted">On the broker’s own machine, <code>amo-broker console</code> prints a link that signs you in once.</p>`
  const status = isRefused ? 422 : 200
  return sendPage(request, reply, {
    title: 'Sign in to the token broker',
    section: null,
    main,
    width: 'alone',
    status,
  })
}

function openIdForm(next: string): Html {
  return html`<form method="post" action="/console/sign-in/oidc">${hiddenFields({ next: returnPath(next) })}
<button class="primary">Sign in with your company’s account</button></form><p class="muted">Or with a key:</p>`
}
