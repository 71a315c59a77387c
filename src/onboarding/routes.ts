import { randomBytes } from 'node:crypto'
import cookie from '@fastify/cookie'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Health } from '../health/service.ts'
import type { Integration, Integrations } from '../integrations/service.ts'
import { asBrokerError, problems } from '../plugins/problems.ts'
import { authorizeUrl } from '../provider/profiles.ts'
import type { ConnectLinks } from './links.ts'
import { sendProblemPage, sendProgressPage, sendReceivedPage } from './pages.ts'
import { hasProof, isServerCall } from './server-calls.ts'
import type { Onboarding } from './service.ts'
import { makeUnprovenLimit } from './unproven-limit.ts'

/** The person at the callback sees a page by then, finished or not. */
const CALLBACK_WAIT_MS = 8_000
const PAGE_WAIT_MS = 1_000
const BROWSER_ID_BYTES = 18
const BROWSER_ID = /^[\w-]{24}$/

const PageSchema = { content: { 'text/html': { schema: Type.String() } } }
const SeeOther = { description: 'to the page with a clean URL', type: 'null' } as const

export interface PublicRoutesOptions {
  integrations: Integrations
  links: ConnectLinks
  onboarding: Onboarding
  health: Health
}

/** Public: what a person's browser comes by on its way through consent. */
export const onboardingRoutes: FastifyPluginAsyncTypebox<PublicRoutesOptions> = async (
  app,
  { integrations, links, onboarding, health },
) => {
  await app.register(cookie)
  // A person looks here, so a failure is a page as well; the callback's own URL never stays in the browser.
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const { code, statusCode, retryAfterSeconds } = asBrokerError(error)
    if (code === 'bad_request') return sendProblemPage(reply, 'malformed', statusCode)
    if (code === 'too_many_requests') {
      reply.header('retry-after', retryAfterSeconds)
      return sendProblemPage(reply, code, statusCode)
    }
    request.log.error({ err: error }, 'onboarding page failed')
    const problem = code === 'storage_unavailable' ? code : 'broken'
    if (request.routeOptions.url === '/*') {
      return reply.redirect(`/onboarding/problems/${problem}`, 303)
    }
    return sendProblemPage(reply, problem, statusCode)
  })

  const countUnproven = await makeUnprovenLimit(app)
  /** Whom the page may tell; a database that is silent leaves that out. */
  const openerOf = async (linkId: string | null) => {
    if (linkId === null) return null
    const link = await links.findById(linkId).catch(() => undefined)
    return link?.openerOrigin ?? null
  }

  app.get('/connect/:link', {
    schema: {
      operationId: 'openConnectLink',
      tags: ['onboarding'],
      summary: 'To the provider’s consent page',
      params: Type.Object({ link: Type.String({ maxLength: 100 }) }),
      response: {
        302: { description: 'to the provider', type: 'null' },
        404: PageSchema,
        410: PageSchema,
      },
    },
    handler: async (request, reply) => {
      const link = await links.find(request.params.link)
      if (link === undefined) return sendProblemPage(reply, 'link_unknown', 404)
      if (link.isUsed) return sendProblemPage(reply, 'link_used', 410)
      if (link.isExpired) return sendProblemPage(reply, 'link_expired', 410)
      if (link.integration === null) return sendProblemPage(reply, 'link_unknown', 404)
      const integration = await integrations.load(link.integration)
      const browserId =
        browserOf(request, integration) ?? randomBytes(BROWSER_ID_BYTES).toString('base64url')
      setBrowserCookie(reply, integration, browserId)
      const state = onboarding.mintState(link, browserId)
      return reply
        .headers({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
        .redirect(authorizeUrl(integration, state, link.mode), 302)
    },
  })

  app.get('/onboarding/:id', {
    schema: {
      operationId: 'showOnboarding',
      tags: ['onboarding'],
      summary: 'How it ended: a page',
      params: Type.Object({ id: Type.String({ format: 'uuid' }) }),
      response: { 200: PageSchema, 404: PageSchema },
    },
    handler: async (request, reply) => {
      const progress = await onboarding.progress(request.params.id, PAGE_WAIT_MS)
      if (progress === undefined) return sendProblemPage(reply, 'link_unknown', 404)
      return sendProgressPage(reply, progress, await openerOf(progress.linkId))
    },
  })

  app.get('/onboarding/problems/:code', {
    schema: {
      operationId: 'showOnboardingProblem',
      tags: ['onboarding'],
      summary: 'What was wrong with a callback: a page',
      params: Type.Object({ code: Type.String({ pattern: '^[a-z_]{1,40}$' }) }),
      querystring: Type.Object({
        link: Type.Optional(
          Type.String({ format: 'uuid', description: 'whose page is told of the problem' }),
        ),
      }),
      response: { 400: PageSchema },
    },
    handler: async (request, reply) => {
      const opener = await openerOf(request.query.link ?? null)
      return sendProblemPage(reply, request.params.code, 400, opener)
    },
  })

  app.get('/*', {
    schema: {
      operationId: 'oauthCallback',
      tags: ['onboarding'],
      summary: 'The redirect URI of each integration',
      description: 'At the path of the integration’s redirect URI; 404 elsewhere.',
      querystring: Type.Object({
        code: Type.Optional(Type.String({ maxLength: 8192 })),
        state: Type.Optional(Type.String({ maxLength: 1024 })),
        referer: Type.Optional(Type.String({ maxLength: 300 })),
        platform: Type.Optional(Type.String({ maxLength: 10 })),
        client_id: Type.Optional(Type.String({ maxLength: 100 })),
        error: Type.Optional(Type.String({ maxLength: 200 })),
        error_description: Type.Optional(Type.String({ maxLength: 1000 })),
        from_widget: Type.Optional(Type.String({ maxLength: 10 })),
        from_exchange: Type.Optional(Type.String({ maxLength: 10 })),
      }),
      response: {
        200: { ...PageSchema, description: 'to the provider’s server' },
        303: SeeOther,
        400: PageSchema,
        429: PageSchema,
        503: PageSchema,
        ...problems('not_found'),
      },
    },
    handler: async (request, reply) => {
      const [pathname = ''] = request.url.split('?')
      reply.headers({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
      const isJudged = health.phase !== 'starting' && health.phase !== 'unmigrated'
      // Before anything can be judged, a state proves nothing.
      if (!isJudged || !hasProof(request.query)) await countUnproven(request)
      if (!isJudged) {
        // Nothing can be judged yet, and the provider's server does not call again.
        onboarding.keepForLater(pathname, request.query)
        return sendReceivedPage(reply)
      }
      const [first] = integrations.byRedirectPath(pathname)
      if (first === undefined) return reply.callNotFound()
      const { query } = request
      if (isServerCall(query)) {
        const received = await onboarding.receiveFromServer(pathname, query)
        if (received === undefined || 'id' in received) return sendReceivedPage(reply)
        request.log.warn({ problem: received.problem }, 'callback refused')
        return sendProblemPage(reply, received.problem)
      }
      const received = await onboarding.receive(pathname, query, browserOf(request, first))
      if ('problem' in received) {
        request.log.warn({ problem: received.problem }, 'callback refused')
        const link = received.linkId === undefined ? '' : `?link=${received.linkId}`
        return reply.redirect(`/onboarding/problems/${received.problem}${link}`, 303)
      }
      await onboarding.progress(received.id, CALLBACK_WAIT_MS)
      return reply.redirect(`/onboarding/${received.id}`, 303)
    },
  })
}

/** `__Host-` ties a cookie to this host and https; on plain http, which is loopback alone, browsers refuse it. */
function cookieName({ redirectUri }: Integration): string {
  return redirectUri.startsWith('https:') ? '__Host-amo-connect' : 'amo-connect'
}

function browserOf(request: FastifyRequest, integration: Integration): string | undefined {
  const id = request.cookies[cookieName(integration)]
  return id !== undefined && BROWSER_ID.test(id) ? id : undefined
}

function setBrowserCookie(reply: FastifyReply, integration: Integration, browserId: string): void {
  reply.setCookie(cookieName(integration), browserId, {
    path: '/',
    httpOnly: true,
    sameSite: 'lax',
    secure: integration.redirectUri.startsWith('https:'),
  })
}
