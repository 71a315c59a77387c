import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { IntegrationParams } from '../../../contract/integrations.ts'
import { countRecentRefusals } from '../../../integrations/recent-refusals.ts'
import { callerOf } from '../../plugins/auth.ts'
import { emptyForm, type Form } from '../form.ts'
import { sendPage } from '../page.ts'
import { formOf } from './integration-form.ts'
import { integrationView, type Shown } from './integration-view.ts'
import { INTEGRATIONS_PATH, listView } from './list-view.ts'

/** Shows all integrations, and each one. */
export const overviewPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  app.get(INTEGRATIONS_PATH, {
    schema: { hide: true, operationId: 'showIntegrations' },
    handler: (request, reply) => sendList(broker, request, reply, emptyForm()),
  })

  app.get(`${INTEGRATIONS_PATH}/:integration`, {
    schema: { hide: true, operationId: 'showIntegrationState', params: IntegrationParams },
    handler: (request, reply) =>
      sendIntegration(broker, request, reply, { name: request.params.integration }),
  })
}

/** Sends the list with the form for a new integration, which may have been refused. */
export function sendList(
  broker: Broker,
  request: FastifyRequest,
  reply: FastifyReply,
  form: Form,
  status = 200,
): FastifyReply {
  const isOperator = callerOf(request).role === 'operator'
  const view = listView(broker.integrations.all(), form, isOperator)
  return sendPage(request, reply, { ...view, section: 'integrations', status })
}

interface Wanted extends Partial<Pick<Shown, 'settings' | 'pace' | 'secret' | 'note'>> {
  name: string
  status?: number
}

/** Sends the page of one integration. Forms that were refused keep what was typed. */
export async function sendIntegration(
  broker: Broker,
  request: FastifyRequest,
  reply: FastifyReply,
  { name, status = 200, ...forms }: Wanted,
): Promise<FastifyReply> {
  const integration = await broker.integrations.load(name)
  const refusals = await countRecentRefusals(broker.database.db, name)
  const view = integrationView({
    integration,
    refusals,
    isOperator: callerOf(request).role === 'operator',
    settings: formOf(integration),
    pace: emptyForm({ pace_per_second: String(integration.pacePerSecond) }),
    secret: emptyForm(),
    ...forms,
  })
  return sendPage(request, reply, { ...view, section: 'integrations', status })
}
