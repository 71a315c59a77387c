import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import type { FastifyInstance } from 'fastify'
import type { Broker } from '../../broker.ts'
import { BrokerError } from '../../lib/errors.ts'
import { auditPlugin } from '../plugins/audit.ts'
import type { CountGuess } from '../plugins/guess-limit.ts'
import { refuseUntilReady } from '../server.ts'
import { assetRoutes } from './assets.ts'
import { sendErrorPages } from './error-pages.ts'
import { guardOrigin } from './origin-guard.ts'
import { monitorPages, operatorPages } from './pages.ts'
import { cookieNameFor, guardSession, isPoll } from './session-guard.ts'
import { signInRoutes } from './sign-in/routes.ts'

interface ConsoleOptions {
  broker: Broker
  countGuess: CountGuess
}

/** Registers the pages for people. Everything except sign-in and assets needs a session. */
export async function consoleRoutes(
  app: FastifyInstance,
  { broker, countGuess }: ConsoleOptions,
): Promise<void> {
  await app.register(cookie)
  await app.register(formbody)
  sendErrorPages(app, broker)
  guardOrigin(app, broker.consoleUrl)
  await app.register(assetRoutes)
  await app.register(async (pages) => {
    refuseUntilReady(pages, broker)
    guardSession(pages, broker.sessions, cookieNameFor(broker.consoleUrl, 'console'))
    await pages.register(auditPlugin, {
      audit: broker.audit,
      isCounted: (request) => !isPoll(request),
    })
    await pages.register(signInRoutes, { ...broker, countGuess })
    await pages.register(monitorPages, broker)
    await pages.register(operatorPages, broker)
    pages.get('/console/*', { schema: { hide: true } }, (request, reply) => {
      if (request.url.replace(/\/$/, '') === '/console') return reply.redirect('/console')
      throw new BrokerError('not_found', 'There is no such page.', {
        members: { remedy: 'Use the links above.' },
      })
    })
  })
}
