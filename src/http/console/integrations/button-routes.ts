import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { makeButton, makeExternalButton } from '../../../connect-links/buttons.ts'
import { ButtonBody } from '../../../contract/connect-links.ts'
import { OriginField, ProviderField, RedirectUriField } from '../../../contract/fields.ts'
import { IntegrationParams } from '../../../contract/integrations.ts'
import { checkRedirectUri } from '../../../integrations/check-urls.ts'
import { Type } from '../../../lib/type.ts'
import { readOpenerOrigin } from '../../connect-links/opener-origin.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { emptyForm, readForm, refusedForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { buttonView, externalView, madeButtonView } from './button-view.ts'
import { INTEGRATIONS_PATH } from './list-view.ts'

const BUTTON = `${INTEGRATIONS_PATH}/:integration/button`
const EXTERNAL = '/console/external-button'

const { account, mode, opener_origin, title, name, description, logo } = ButtonBody.properties
const look = { account, mode, opener_origin, title }
const ButtonForm = Type.Object(look)
const ExternalForm = Type.Object({
  provider: ProviderField,
  redirect_uri: RedirectUriField,
  sandbox_origin: Type.Optional(OriginField),
  ...{ name, description, logo },
  ...look,
  scopes: Type.Optional(
    Type.String({ maxLength: 2_000, pattern: '^[A-Za-z0-9:_.-]+( +[A-Za-z0-9:_.-]+)*$' }),
  ),
})
const LOOK = {
  name: 'amo token broker',
  description: '',
  title: 'Connect',
  scopes: ['crm', 'notifications'],
}

/** Makes the provider's button. Its HTML holds a state, so it is shown once. */
export const buttonPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { integrations, buttons, publicUrl } = broker

  app.get(BUTTON, {
    schema: { hide: true, operationId: 'showButtonForm', params: IntegrationParams },
    handler: async (request, reply) => {
      const integration = await integrations.load(request.params.integration)
      return sendPage(request, reply, {
        ...buttonView(integration.name, emptyForm()),
        section: 'integrations',
      })
    },
  })

  app.post(BUTTON, {
    schema: { hide: true, operationId: 'createButton', params: IntegrationParams },
    handler: async (request, reply) => {
      const { integration } = request.params
      const read = readForm(request, ButtonForm)
      if (!read.isValid) {
        const view = buttonView(integration, read.form)
        return sendPage(request, reply, { ...view, section: 'integrations', status: 422 })
      }
      try {
        const order = { ...orderFrom(read.data, callerOf(request).name), integration }
        const shown = { ...LOOK, title: read.data.title ?? LOOK.title, logo: undefined }
        const button = await makeButton(buttons, order, shown, beginAct(request))
        return sendPage(request, reply, {
          ...madeButtonView(button),
          section: 'integrations',
          holdsSecret: true,
        })
      } catch (error) {
        const view = buttonView(integration, refusedForm(read.form, error, 'opener_origin'))
        return sendPage(request, reply, { ...view, section: 'integrations', status: 422 })
      }
    },
  })

  app.get(EXTERNAL, {
    schema: { hide: true, operationId: 'showExternalButtonForm' },
    handler: (request, reply) =>
      sendPage(request, reply, { ...externalView(emptyForm()), section: 'integrations' }),
  })

  app.post(EXTERNAL, {
    schema: { hide: true, operationId: 'createButton' },
    handler: async (request, reply) => {
      const read = readForm(request, ExternalForm)
      if (!read.isValid) {
        return sendPage(request, reply, {
          ...externalView(read.form),
          section: 'integrations',
          status: 422,
        })
      }
      const { provider, redirect_uri: redirectUri, sandbox_origin, scopes, logo: image } = read.data
      auditing(request, { detail: { integration: 'external' } })
      try {
        const sandboxOrigin = sandbox_origin ?? null
        checkRedirectUri(redirectUri, publicUrl)
        await integrations.checkSandboxOrigin(sandboxOrigin)
        const seed = { provider, redirectUri, sandboxOrigin, profile: {} }
        const shown = {
          name: read.data.name ?? LOOK.name,
          description: read.data.description ?? '',
          title: read.data.title ?? LOOK.title,
          logo: image,
          scopes: scopes?.split(/ +/) ?? LOOK.scopes,
        }
        const order = orderFrom(read.data, callerOf(request).name)
        const button = await makeExternalButton(buttons, order, seed, shown, beginAct(request))
        return sendPage(request, reply, {
          ...madeButtonView(button),
          section: 'integrations',
          holdsSecret: true,
        })
      } catch (error) {
        const view = externalView(refusedForm(read.form, error, fieldOf(error)))
        return sendPage(request, reply, { ...view, section: 'integrations', status: 422 })
      }
    },
  })
}

interface ButtonData {
  account?: string
  mode?: 'popup' | 'post_message'
  opener_origin?: string
}

function orderFrom(
  { account: expected, mode: wanted, opener_origin: origin }: ButtonData,
  createdBy: string,
) {
  return {
    mode: wanted ?? ('popup' as const),
    expectedAccount: expected?.toLowerCase(),
    openerOrigin: readOpenerOrigin(origin),
    createdBy,
  }
}

/** Returns the field that a refusal is about. */
function fieldOf(error: unknown): string {
  const [, field = ''] =
    /^(redirect_uri|sandbox_origin|opener_origin):/.exec((error as Error).message) ?? []
  return field
}
