import type { FastifyInstance } from 'fastify'
import { secretsHookRoutes } from './connect-links/secrets-hook-routes.ts'
import { livenessRoutes, publicReadinessRoutes } from './health/routes.ts'
import { callbackRoutes } from './onboarding/callback-routes.ts'
import { disconnectRoutes } from './onboarding/disconnect-routes.ts'
import { pageRoutes } from './onboarding/page-routes.ts'
import { addressLimitPlugin } from './plugins/address-limit.ts'
import { type AppOptions, createApp, refuseUntilReady, sharedCount } from './server.ts'

/**
 * Builds the public listener: for browsers and the provider's servers. An ingress exposes only this
 * one.
 */
export async function buildPublicApp(options: AppOptions): Promise<FastifyInstance> {
  const { broker } = options
  const docs = { isInternal: false }
  const app = await createApp({ ...options, internalTls: null }, docs)
  app.decorate('brandName', options.brandName)
  await app.register(livenessRoutes)
  await app.register(publicReadinessRoutes, { health: broker.health })
  await app.register(async (open) => {
    await open.register(addressLimitPlugin, { shared: sharedCount(broker, 'requests') })
    refuseUntilReady(open, broker)
    await open.register(disconnectRoutes, { hooks: broker.disconnects })
    await open.register(secretsHookRoutes, broker)
    await open.register(pageRoutes, broker)
    await open.register(callbackRoutes, broker)
  })
  return app
}
