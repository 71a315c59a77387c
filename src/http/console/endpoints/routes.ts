import type { FastifyInstance } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { endpointPages } from './endpoint-routes.ts'
import { endpointForms } from './form-routes.ts'

/** Receivers of events, and what was delivered to them. */
export async function deliveryPages(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(endpointPages, broker)
  await app.register(endpointForms, broker)
}
