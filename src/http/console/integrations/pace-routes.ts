import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { IntegrationParams } from '../../../contract/integrations.ts'
import { Type } from '../../../lib/type.ts'
import { beginAct } from '../../plugins/audit.ts'
import { redirectWith } from '../flash.ts'
import { readForm } from '../form.ts'
import { INTEGRATIONS_PATH } from './list-view.ts'
import { sendIntegration } from './overview-routes.ts'

const ONE = `${INTEGRATIONS_PATH}/:integration`
const PaceForm = Type.Object({
  pace_per_second: Type.Number({ exclusiveMinimum: 0, maximum: 1_000 }),
})

/** Changes how fast an integration refreshes. */
export const pacePages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { integrationChanges } = broker

  app.post(`${ONE}/pace`, {
    schema: { hide: true, operationId: 'setIntegrationPace', params: IntegrationParams },
    handler: async (request, reply) => {
      const { integration: name } = request.params
      const read = readForm(request, PaceForm)
      if (!read.isValid) {
        return sendIntegration(broker, request, reply, { name, pace: read.form, status: 422 })
      }
      const pace = read.data.pace_per_second
      await integrationChanges.setPace(name, pace, beginAct(request))
      return redirectWith(reply, `${INTEGRATIONS_PATH}/${name}`, `The pace is ${pace} a second.`)
    },
  })
}
