import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from 'typebox'
import { requireOperator } from '../clients/caller.ts'
import type { ExternalSeed } from '../db/tables.ts'
import { BrokerError } from '../errors.ts'
import { checkRedirectUri, checkSandboxOrigin } from '../integrations/check-urls.ts'
import { checkProfile } from '../integrations/edit.ts'
import { overridesFrom, ProfileSchema } from '../integrations/schemas.ts'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import { type Button, type ButtonsDependencies, makeButton, makeExternalButton } from './buttons.ts'
import { ExpectedAccountField, ModeField, OpenerOriginField, originOf } from './link-routes.ts'
import { IntegrationField } from './schemas.ts'

const ButtonBody = Type.Object(
  {
    integration: Type.Optional({
      ...IntegrationField,
      description: 'that exists; or `external`, and the button makes one',
    }),
    external: Type.Optional(
      Type.Object(
        {
          provider: Type.Enum(['amocrm', 'kommo']),
          redirect_uri: Type.String({ maxLength: 500, pattern: '^https?://[^\\s#]+$' }),
          sandbox_origin: Type.Optional(
            Type.String({ maxLength: 200, pattern: '^https?://[^\\s/]+$' }),
          ),
          profile: Type.Optional(ProfileSchema),
        },
        { additionalProperties: false },
      ),
    ),
    name: Type.Optional(Type.String({ maxLength: 200, default: 'amo token broker' })),
    description: Type.Optional(Type.String({ maxLength: 1_000, default: '' })),
    title: Type.Optional(Type.String({ maxLength: 100, default: 'Connect' })),
    logo: Type.Optional(Type.String({ maxLength: 500, pattern: '^https://[^\\s]+$' })),
    scopes: Type.Optional(
      Type.Array(Type.String({ pattern: '^[A-Za-z0-9:_.-]{1,60}$' }), {
        maxItems: 100,
        default: ['crm', 'notifications'],
      }),
    ),
    mode: Type.Optional(ModeField),
    account: Type.Optional(ExpectedAccountField),
    opener_origin: Type.Optional(OpenerOriginField),
  },
  { additionalProperties: false },
)

const ButtonSchema = Type.Object({
  html: Type.String({ description: 'for the page; it connects one account, once' }),
  attributes: Type.Record(Type.String(), Type.String()),
  state: Type.String({ description: 'whoever has it may connect one account' }),
  secrets_uri: Type.Union([Type.String(), Type.Null()]),
  expires_at: Type.String({ format: 'date-time' }),
})

export interface ButtonRoutesOptions {
  buttons: ButtonsDependencies
  publicUrl: string | null
}

/** The provider's button, for an integration that exists or for one that it makes. */
export const buttonRoutes: FastifyPluginAsyncTypebox<ButtonRoutesOptions> = async (
  app,
  { buttons, publicUrl },
) => {
  app.post('/buttons', {
    schema: {
      operationId: 'createButton',
      tags: ['onboarding'],
      summary: 'The provider’s button: its HTML and data',
      body: ButtonBody,
      response: {
        201: ButtonSchema,
        ...problems(
          'bad_request',
          'unauthorized',
          'forbidden',
          'too_many_requests',
          'integration_not_found',
          'storage_unavailable',
          'internal_error',
        ),
      },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request)
      requireOperator(caller, 'make buttons')
      const { body } = request
      const order = {
        mode: body.mode ?? 'popup',
        expectedAccount: body.account?.toLowerCase(),
        openerOrigin: originOf(body.opener_origin),
        createdBy: caller.name,
      }
      const { integration, external } = body
      if ((integration === undefined) === (external === undefined)) {
        const detail = 'integration, external: exactly one of them is needed.'
        throw new BrokerError('bad_request', detail)
      }
      auditing(request, { detail: { integration: integration ?? 'external' } })
      const button =
        integration === undefined
          ? await makeExternalButton(buttons, order, seedFrom(external, publicUrl), lookOf(body))
          : await makeButton(buttons, { ...order, integration }, lookOf(body))
      return reply.code(201).send(toJson(button))
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

/** Throws `bad_request`. */
function seedFrom(
  external: Static<typeof ButtonBody>['external'],
  publicUrl: string | null,
): ExternalSeed {
  if (external === undefined) throw new BrokerError('bad_request', 'external: it is needed.')
  checkRedirectUri(external.redirect_uri, publicUrl)
  checkSandboxOrigin(external.sandbox_origin ?? null)
  const profile = overridesFrom(external.profile)
  checkProfile(external.provider, profile)
  const { provider, redirect_uri, sandbox_origin } = external
  return { provider, redirectUri: redirect_uri, sandboxOrigin: sandbox_origin ?? null, profile }
}

function toJson({ html, attributes, state, secretsUri, expiresAt }: Button) {
  return {
    html,
    attributes,
    state,
    secrets_uri: secretsUri,
    expires_at: expiresAt.toISOString(),
  }
}
