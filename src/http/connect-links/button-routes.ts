import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Static } from 'typebox'
import {
  type Button,
  type ButtonsDependencies,
  makeButton,
  makeExternalButton,
} from '../../connect-links/buttons.ts'
import { ButtonBody, ButtonSchema } from '../../contract/connect-links.ts'
import type { ExternalSeed } from '../../db/tables/onboarding.ts'
import { checkRedirectUri } from '../../integrations/check-urls.ts'
import { checkProfile } from '../../integrations/edit.ts'
import { BrokerError } from '../../lib/errors.ts'
import { overridesFrom } from '../integrations/from-json.ts'
import { auditing, beginAct } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { readOpenerOrigin } from './opener-origin.ts'

interface ButtonRoutesOptions {
  buttons: ButtonsDependencies
  publicUrl: string | null
}

/**
 * Creates the provider's button, for an existing integration or for one that the button creates.
 */
export const buttonRoutes: FastifyPluginAsyncTypebox<ButtonRoutesOptions> = async (
  app,
  { buttons, publicUrl },
) => {
  app.post('/buttons', {
    schema: {
      operationId: 'createButton',
      tags: ['onboarding'],
      summary: 'Creates the provider’s button: its HTML and its attributes',
      body: ButtonBody,
      response: {
        201: ButtonSchema,
        ...problems(...COMMON_PROBLEMS, 'integration_not_found'),
      },
    },
    handler: async (request, reply) => {
      const { body } = request
      const order = {
        mode: body.mode ?? 'popup',
        expectedAccount: body.account?.toLowerCase(),
        openerOrigin: readOpenerOrigin(body.opener_origin),
        createdBy: callerOf(request).name,
      }
      const { integration, external } = body
      if ((integration === undefined) === (external === undefined)) {
        const detail = 'integration, external: exactly one of them is needed.'
        throw new BrokerError('bad_request', detail)
      }
      auditing(request, { detail: { integration: integration ?? 'external' } })
      const look = lookOf(body)
      const act = beginAct(request)
      const seed = () => seedFrom(buttons, external, publicUrl)
      const button =
        integration === undefined
          ? await makeExternalButton(buttons, order, await seed(), look, act)
          : await makeButton(buttons, { ...order, integration }, look, act)
      return reply.code(201).send(buttonToJson(button))
    },
  })
}

function lookOf(body: Static<typeof ButtonBody>) {
  return {
    name: body.name ?? 'amo token broker',
    description: body.description ?? '',
    title: body.title ?? 'Connect',
    logo: body.logo,
    scopes: body.scopes ?? ['crm', 'notifications'],
  }
}

/** Returns the integration that a button is to create. Throws `bad_request`. */
async function seedFrom(
  { integrations }: ButtonsDependencies,
  external: Static<typeof ButtonBody>['external'],
  publicUrl: string | null,
): Promise<ExternalSeed> {
  if (external === undefined) throw new BrokerError('bad_request', 'external: it is needed.')
  checkRedirectUri(external.redirect_uri, publicUrl)
  await integrations.checkSandboxOrigin(external.sandbox_origin ?? null)
  const profile = overridesFrom(external.profile)
  checkProfile(external.provider, profile)
  const { provider, redirect_uri, sandbox_origin } = external
  return { provider, redirectUri: redirect_uri, sandboxOrigin: sandbox_origin ?? null, profile }
}

function buttonToJson(button: Button): Static<typeof ButtonSchema> {
  const { html, attributes, state, secretsUri, expiresAt } = button
  return { html, attributes, state, secrets_uri: secretsUri, expires_at: expiresAt.toISOString() }
}
