import type { FastifyInstance } from 'fastify'
import type { Broker } from '../../broker.ts'
import { operatorScope } from '../plugins/role-scope.ts'
import { accountsForMonitors, accountsForOperators } from './accounts/routes.ts'
import { auditPages } from './audit/routes.ts'
import { accessPages } from './clients/routes.ts'
import { doctorPages } from './doctor/routes.ts'
import { deliveryPages } from './endpoints/routes.ts'
import { homePages } from './home/routes.ts'
import { integrationForms, integrationPages } from './integrations/routes.ts'
import { onboardingPages } from './onboarding/routes.ts'

/** Registers the pages that monitors and operators see. */
export async function monitorPages(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(homePages, broker)
  await app.register(doctorPages, broker)
  await app.register(accountsForMonitors, broker)
  await app.register(integrationPages, broker)
}

/** Registers the pages that only operators see. */
export async function operatorPages(app: FastifyInstance, broker: Broker): Promise<void> {
  await app.register(operatorScope)
  await app.register(auditPages, broker)
  await app.register(accountsForOperators, broker)
  await app.register(onboardingPages, broker)
  await app.register(integrationForms, broker)
  await app.register(accessPages, broker)
  await app.register(deliveryPages, broker)
}
