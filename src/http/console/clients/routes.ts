import type { FastifyInstance } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { clientPages } from './client-routes.ts'
import { clientForms } from './form-routes.ts'

/** The services that may call the broker, and what each of them may read. */
export async function accessPages(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(clientPages, broker)
  await app.register(clientForms, broker)
}
