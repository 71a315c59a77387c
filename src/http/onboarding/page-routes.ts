import cookie from '@fastify/cookie'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { markOpened } from '../../connect-links/link-progress.ts'
import type { ConnectLink } from '../../connect-links/links.ts'
import { UuidField } from '../../contract/fields.ts'
import type { Integrations } from '../../integrations/directory.ts'
import { Type } from '../../lib/type.ts'
import { authorizeUrl } from '../../provider/profiles.ts'
import { ensureBrowserId } from './browser-id.ts'
import { findLinkOnPage, type LinkPages } from './link-on-page.ts'
import { sendErrorPages } from './page-errors.ts'
import { PageErrors, PageResponse, sendProblemPage, sendProgressPage } from './pages.ts'

const PAGE_WAIT_MS = 1_000

interface PageRoutesOptions extends LinkPages {
  integrations: Integrations
}

const MarkField = Type.String({
  maxLength: 100,
  description: 'shows that the broker itself led to this page',
})
const TO_PROVIDER = { description: 'to the provider', type: 'null' }

/** Public: opens connect links, and shows the outcome of an onboarding. */
export const pageRoutes: FastifyPluginAsyncTypebox<PageRoutesOptions> = async (app, options) => {
  const { links, onboarding } = options
  await app.register(cookie)
  sendErrorPages(app, onboarding)

  app.get('/connect/:link', {
    schema: {
      operationId: 'openConnectLink',
      tags: ['onboarding'],
      summary: 'Redirects to the provider’s consent page',
      params: Type.Object({
        link: Type.String({ maxLength: 100, description: 'secret part of the link' }),
      }),
      response: {
        302: TO_PROVIDER,
        ...PageErrors,
        404: PageResponse,
        410: PageResponse,
      },
    },
    handler: async (request, reply) =>
      openLink(options, await links.find(request.params.link), request, reply),
  })

  app.get('/onboarding/again/:link', {
    schema: {
      operationId: 'openConnectLinkAgain',
      tags: ['onboarding'],
      summary:
        'Redirects to the provider’s consent page once more, from a page that shows a failure',
      params: Type.Object({ link: { ...UuidField, description: 'id of the link' } }),
      querystring: Type.Object({ mark: MarkField }),
      response: { 302: TO_PROVIDER, ...PageErrors, 404: PageResponse, 410: PageResponse },
    },
    handler: async (request, reply) => {
      const { link } = request.params
      const isMarked = onboarding.pageMarks.isOfRetry(request.query.mark, link)
      return openLink(options, isMarked ? await links.findById(link) : undefined, request, reply)
    },
  })

  app.get('/onboarding/:id', {
    schema: {
      operationId: 'showOnboarding',
      tags: ['onboarding'],
      summary: 'Shows the outcome of an onboarding as a page',
      params: Type.Object({ id: { ...UuidField, description: 'id of the onboarding' } }),
      response: {
        200: { ...PageResponse, description: 'a page with the outcome' },
        ...PageErrors,
        404: PageResponse,
      },
    },
    handler: async (request, reply) => {
      const progress = await onboarding.progress(request.params.id, PAGE_WAIT_MS)
      if (progress === undefined) return sendProblemPage(request, reply, 'link_unknown', 404)
      const link = await findLinkOnPage(options, progress.linkId)
      return sendProgressPage(request, reply, progress, link)
    },
  })

  app.get('/onboarding/problems/:code', {
    schema: {
      operationId: 'showOnboardingProblem',
      tags: ['onboarding'],
      summary: 'Shows what was wrong with a callback as a page',
      params: Type.Object({
        code: Type.String({ pattern: '^[a-z_]{1,40}$', description: 'code of the problem' }),
      }),
      querystring: Type.Object({
        link: Type.Optional({
          ...UuidField,
          description: 'link whose opener learns of the problem',
        }),
        mark: Type.Optional(MarkField),
      }),
      response: PageErrors,
    },
    handler: async (request, reply) => {
      const { code } = request.params
      const { link, mark = '' } = request.query
      // Otherwise any page could make this origin report an outcome to the opener of a link.
      if (!onboarding.pageMarks.isOfProblem(mark, code, link)) return reply.callNotFound()
      const page = await findLinkOnPage(options, link ?? null)
      return sendProblemPage(request, reply, code, 400, { link: page })
    },
  })
}

/** Redirects to the consent page, with a state for this browser. */
async function openLink(
  { integrations, onboarding, database }: PageRoutesOptions,
  link: ConnectLink | undefined,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (link === undefined) return sendProblemPage(request, reply, 'link_unknown', 404)
  if (link.isUsed) return sendProblemPage(request, reply, 'link_used', 410)
  if (link.isExpired) return sendProblemPage(request, reply, 'link_expired', 410)
  if (link.integration === null) return sendProblemPage(request, reply, 'link_unknown', 404)
  const integration = await integrations.load(link.integration)
  // Only for operators who watch the link, so nothing waits for it.
  markOpened(database, link.id).catch(() => {})
  const state = onboarding.mintState(link, ensureBrowserId(request, reply, integration))
  return reply
    .headers({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
    .redirect(authorizeUrl(integration, state, link.mode), 302)
}
