import cookie from '@fastify/cookie'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { recordProblem } from '../../connect-links/link-progress.ts'
import { CallbackQuerySchema } from '../../contract/onboarding.ts'
import type { Database } from '../../db/database.ts'
import type { Integrations } from '../../integrations/directory.ts'
import type { Health } from '../../monitoring/health.ts'
import type { Onboarding } from '../../onboarding/service.ts'
import { createAddressLimit, networkOf, requireWithin } from '../plugins/rate-limit.ts'
import { findBrowserId } from './browser-id.ts'
import { problemUrl, sendErrorPages } from './page-errors.ts'
import { PageErrors, PageResponse, sendProblemPage, sendReceivedPage } from './pages.ts'
import { isServerCall, MAX_UNPROVEN } from './server-calls.ts'

/**
 * After this time the person at the callback sees a page, even if the exchange has not finished.
 */
const CALLBACK_WAIT_MS = 8_000

interface CallbackRoutesOptions {
  integrations: Integrations
  onboarding: Onboarding
  health: Health
  database: Database
}

/** Public: receives authorization codes at the redirect URI of each integration. */
export const callbackRoutes: FastifyPluginAsyncTypebox<CallbackRoutesOptions> = async (
  app,
  { integrations, onboarding, health, database },
) => {
  await app.register(cookie)
  sendErrorPages(app, onboarding)
  /** For operators who watch the link. The person sees the page in any case. */
  const noteProblem = (linkId: string, problem: string) =>
    recordProblem(database, linkId, problem).catch(() => {})
  const unproven = await createAddressLimit(app, MAX_UNPROVEN, null)

  app.get('/*', {
    schema: {
      operationId: 'oauthCallback',
      tags: ['onboarding'],
      summary: 'Receives the callback at the redirect URI of each integration',
      description: 'At the path of an integration’s redirect URI; 404 elsewhere.',
      querystring: CallbackQuerySchema,
      response: {
        200: { ...PageResponse, description: 'for the provider’s server' },
        303: { description: 'to the page with a clean URL', type: 'null' },
        ...PageErrors,
        404: { ...PageResponse, description: 'no redirect URI has this path' },
      },
    },
    handler: async (request, reply) => {
      const { query } = request
      const [pathname = ''] = request.url.split('?')
      reply.headers({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
      const network = networkOf(request)
      // Before the broker is ready no state can be checked, so none proves anything.
      const isReady = health.phase !== 'starting' && health.phase !== 'unmigrated'
      const [first] = isReady ? integrations.byRedirectPath(pathname) : []
      const browserId = first && findBrowserId(request, first)
      const isProven = isReady && onboarding.isStateProven(query.state, browserId)
      const count = isProven ? undefined : await unproven(request)
      if (count?.isExceeded && isServerCall(query)) {
        // Stored before it is refused, because it is not repeated.
        onboarding.keeper.keepIfThereIsPlace(pathname, query, network)
      }
      if (count !== undefined) requireWithin(count, 'Too many callbacks from this address.')
      if (!isReady) {
        // Only calls of the provider's server arrive here, and it does not call again.
        onboarding.keeper.keep(pathname, query, network)
        return sendReceivedPage(request, reply)
      }
      if (first === undefined) return reply.callNotFound()
      if (isServerCall(query)) {
        const received = await onboarding.receiveFromServer(pathname, query, network)
        if (received === undefined || 'id' in received) return sendReceivedPage(request, reply)
        request.log.warn({ problem: received.problem }, 'callback refused')
        return sendProblemPage(request, reply, received.problem)
      }
      const received = await onboarding.receive(pathname, query, { browserId, network })
      if ('problem' in received) {
        request.log.warn({ problem: received.problem }, 'callback refused')
        if (received.linkId !== undefined) await noteProblem(received.linkId, received.problem)
        return reply.redirect(problemUrl(onboarding, received.problem, received.linkId), 303)
      }
      await onboarding.progress(received.id, CALLBACK_WAIT_MS)
      return reply.redirect(`/onboarding/${received.id}`, 303)
    },
  })
}
