import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { IntegrationParams, NextSecretBody } from '../../../contract/integrations.ts'
import { checkCopied } from '../../../integrations/check-urls.ts'
import { probeRedirect, type RedirectProbe } from '../../../integrations/probe-redirect.ts'
import type { Html } from '../../../lib/html.ts'
import { Type } from '../../../lib/type.ts'
import { Secret } from '../../../vault/secret.ts'
import { beginAct } from '../../plugins/audit.ts'
import { redirectWith } from '../flash.ts'
import { readForm, refusedForm } from '../form.ts'
import { band } from '../parts.ts'
import { INTEGRATIONS_PATH } from './list-view.ts'
import { sendIntegration } from './overview-routes.ts'

const ONE = `${INTEGRATIONS_PATH}/:integration`
/** Another name than that of the secret in the settings, which are on the same page. */
const NextSecretForm = Type.Object({ next_secret: NextSecretBody.properties.client_secret })

/** Changes the client secret step by step, and tests the redirect URI. */
export const secretPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { integrations, integrationChanges } = broker

  app.post(`${ONE}/next-secret`, {
    schema: { hide: true, operationId: 'setNextClientSecret', params: IntegrationParams },
    handler: async (request, reply) => {
      const { integration: name } = request.params
      const read = readForm(request, NextSecretForm)
      if (!read.isValid) {
        return sendIntegration(broker, request, reply, { name, secret: read.form, status: 422 })
      }
      try {
        checkCopied('next_secret', read.data.next_secret)
        await integrationChanges.setNextSecret(
          name,
          new Secret(read.data.next_secret),
          beginAct(request),
        )
      } catch (error) {
        const secret = refusedForm(read.form, error, 'next_secret')
        return sendIntegration(broker, request, reply, { name, secret, status: 422 })
      }
      const note = 'The next secret is stored. Now change it at the provider.'
      return redirectWith(reply, `${INTEGRATIONS_PATH}/${name}`, note)
    },
  })

  app.post(`${ONE}/next-secret/remove`, {
    schema: { hide: true, operationId: 'removeNextClientSecret', params: IntegrationParams },
    handler: async (request, reply) => {
      const { integration: name } = request.params
      await integrationChanges.setNextSecret(name, null, beginAct(request))
      return redirectWith(reply, `${INTEGRATIONS_PATH}/${name}`, 'The next secret is removed.')
    },
  })

  app.post(`${ONE}/test-redirect`, {
    schema: { hide: true, operationId: 'testRedirectUri', params: IntegrationParams },
    handler: async (request, reply) => {
      const { integration: name } = request.params
      const { redirectUri } = await integrations.load(name)
      const note = probeNote(redirectUri, await probeRedirect(redirectUri))
      return sendIntegration(broker, request, reply, { name, note })
    },
  })
}

function probeNote(redirectUri: string, found: RedirectProbe): Html {
  if (found.kind === 'broker') return band('good', `${redirectUri} leads to a broker.`)
  const problem =
    found.kind === 'other'
      ? `${found.origin} answers ${found.status}, and is not a broker.`
      : `${found.origin} cannot be reached from this broker (${found.code}).`
  const remedy =
    'It must lead to the public listener (PUBLIC_PORT). Browsers outside may reach it although this machine does not.'
  return band('warn', problem, remedy)
}
