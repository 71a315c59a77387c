import type { FastifyInstance } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { buttonPages } from './button-routes.ts'
import { changePages } from './change-routes.ts'
import { overviewPages } from './overview-routes.ts'
import { pacePages } from './pace-routes.ts'
import { secretPages } from './secret-routes.ts'

/** What monitors see, too: whether each integration sends, and why not. */
export async function integrationPages(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(overviewPages, broker)
}

/** Everything that changes an integration. */
export async function integrationForms(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(changePages, broker)
  await app.register(pacePages, broker)
  await app.register(secretPages, broker)
  await app.register(buttonPages, broker)
}
