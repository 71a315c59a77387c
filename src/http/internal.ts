import type { FastifyInstance } from 'fastify'
import type { Broker } from '../broker.ts'
import { AccountSchema } from '../contract/accounts.ts'
import { IntegrationSchema } from '../contract/integrations.ts'
import { actionRoutes } from './accounts/action-routes.ts'
import { cleanUpRoutes } from './accounts/clean-up-routes.ts'
import { accountHealthRoutes } from './accounts/health-routes.ts'
import { attemptRoutes, readerRoutes } from './accounts/history-routes.ts'
import { labelRoutes } from './accounts/label-routes.ts'
import { pauseRoutes } from './accounts/pause-routes.ts'
import { accountRoutes } from './accounts/routes.ts'
import { auditRoutes } from './audit/routes.ts'
import { clientRoutes } from './clients/routes.ts'
import { buttonRoutes } from './connect-links/button-routes.ts'
import { connectLinkRoutes } from './connect-links/link-routes.ts'
import { consoleRoutes } from './console/console.ts'
import { signInLinkRoutes } from './console/sign-in/link-routes.ts'
import { endpointRoutes } from './endpoints/routes.ts'
import { eventRoutes } from './events/routes.ts'
import { eventStreamRoutes } from './events/stream-routes.ts'
import { livenessRoutes, readinessRoutes } from './health/routes.ts'
import { clientSecretRoutes } from './integrations/client-secret-routes.ts'
import { editRoutes } from './integrations/edit-routes.ts'
import { integrationRoutes } from './integrations/routes.ts'
import { metricsRoutes } from './metrics/routes.ts'
import { exchangeRoutes } from './onboarding/exchange-routes.ts'
import { importRoutes } from './onboarding/import-routes.ts'
import { inboxRoutes } from './onboarding/inbox-routes.ts'
import { auditPlugin } from './plugins/audit.ts'
import { authPlugin, isMonitor } from './plugins/auth.ts'
import { docsRoutes } from './plugins/docs.ts'
import { createGuessLimit } from './plugins/guess-limit.ts'
import { monitorScope, operatorScope } from './plugins/role-scope.ts'
import { type AppOptions, createApp, refuseUntilReady, sharedCount } from './server.ts'
import { tokenRoutes } from './tokens/routes.ts'

/** Builds the internal listener: for sibling services, operators and monitoring. */
export async function buildInternalApp(options: AppOptions): Promise<FastifyInstance> {
  const { broker, operatorKey } = options
  const docs = { isInternal: true }
  const app = await createApp({ ...options, trustProxy: false }, docs)
  await app.register(livenessRoutes)
  await app.register(readinessRoutes, broker)
  await app.register(metricsRoutes, {
    registry: broker.metrics,
    byClient: broker.monitoring.reads.byClient,
    isMonitor: (request) => isMonitor(broker.directory, request),
  })
  await app.register(docsRoutes, { path: '/docs' })
  const countGuess = await createGuessLimit(app, sharedCount(broker, 'guesses'))
  await app.register(consoleRoutes, { broker, countGuess })
  await app.register(async (guarded) => {
    refuseUntilReady(guarded, broker)
    await guarded.register(authPlugin, { operatorKey, directory: broker.directory, countGuess })
    await guarded.register(auditPlugin, broker)
    guarded.addSchema(AccountSchema)
    guarded.addSchema(IntegrationSchema)
    await guarded.register(tokenRoutes, broker)
    await guarded.register(accountRoutes, broker)
    await guarded.register(eventRoutes, broker)
    await guarded.register(eventStreamRoutes, broker)
    await guarded.register(monitorRoutes, broker)
    await guarded.register(operatorRoutes, broker)
  })
  return app
}

/** Registers the operations of monitors and operators. */
async function monitorRoutes(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(monitorScope)
  await app.register(accountHealthRoutes, broker)
  await app.register(attemptRoutes, broker)
  await app.register(signInLinkRoutes, broker)
}

/** Registers the operations of operators. */
async function operatorRoutes(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(operatorScope)
  await app.register(pauseRoutes, broker)
  await app.register(actionRoutes, broker)
  await app.register(labelRoutes, broker)
  await app.register(readerRoutes, broker)
  await app.register(cleanUpRoutes, broker)
  await app.register(inboxRoutes, broker)
  await app.register(exchangeRoutes, broker)
  await app.register(buttonRoutes, broker)
  await app.register(importRoutes, broker)
  await app.register(integrationRoutes, broker)
  await app.register(editRoutes, broker)
  await app.register(clientSecretRoutes, broker)
  await app.register(connectLinkRoutes, broker)
  await app.register(clientRoutes, broker)
  await app.register(endpointRoutes, broker)
  await app.register(auditRoutes, broker)
}
