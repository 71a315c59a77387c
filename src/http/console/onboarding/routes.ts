import type { FastifyInstance } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { exchangePages } from './exchange-routes.ts'
import { importPages } from './import-routes.ts'
import { linkPages } from './link-routes.ts'
import { overviewPages } from './overview-routes.ts'

/** Brings accounts in: links, codes, API keys, files, and what has arrived. */
export async function onboardingPages(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(overviewPages, broker)
  await app.register(linkPages, broker)
  await app.register(exchangePages, broker)
  await app.register(importPages, broker)
}
