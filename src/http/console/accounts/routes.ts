import type { FastifyInstance } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { accountPages } from './account-routes.ts'
import { accountActionPages } from './action-routes.ts'
import { bulkPages } from './bulk-routes.ts'
import { cleanPages } from './clean-routes.ts'
import { accountLabelPages } from './label-routes.ts'
import { reconnectLinkPages } from './link-routes.ts'
import { accountListPages } from './list-routes.ts'
import { accountRemovalPages } from './remove-routes.ts'

/** Registers the pages about accounts that monitors see, too. */
export async function accountsForMonitors(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(accountListPages, broker)
  await app.register(accountPages, broker)
}

/** Registers the pages that change accounts. */
export async function accountsForOperators(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(accountActionPages, broker)
  await app.register(accountLabelPages, broker)
  await app.register(accountRemovalPages, broker)
  await app.register(reconnectLinkPages, broker)
  await app.register(bulkPages, broker)
  await app.register(cleanPages, broker)
}
