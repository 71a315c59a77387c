import { type Static, Type } from 'typebox'
import type { Profile } from '../provider/profiles.ts'
import { explainFailure } from '../refresh/failures.ts'
import { Secret } from '../vault/secret.ts'
import type { IntegrationOrder, ProfileOverrides } from './edit.ts'
import type { Integration } from './service.ts'

const NAME = '^[a-z0-9][a-z0-9-]{0,62}$'
const Time = Type.String({ format: 'date-time' })

export const IntegrationParams = Type.Object({ integration: Type.String({ pattern: NAME }) })

const Url = Type.String({ minLength: 8, maxLength: 500 })

/** What an integration may say otherwise than its platform. */
export const ProfileSchema = Type.Object(
  {
    authorize_url: Type.Optional(Url),
    authorize_parameters: Type.Optional(
      Type.Record(Type.String({ pattern: '^[a-z_]{1,40}$' }), Type.String({ maxLength: 500 }), {
        description: 'besides client_id, state, mode and scope; {redirect_uri} stands for its own',
        additionalProperties: false,
      }),
    ),
    scopes: Type.Optional(
      Type.Array(Type.String({ pattern: '^[A-Za-z0-9:_.-]{1,60}$' }), { maxItems: 100 }),
    ),
    token_url: Type.Optional({ ...Url, description: '{domain} stands for the account’s host' }),
    encoding: Type.Optional(Type.Enum(['json', 'form'])),
    probe: Type.Optional(Type.Enum(['none', 'weak', 'strong'])),
  },
  { additionalProperties: false },
)

export const IntegrationBody = Type.Object(
  {
    provider: Type.Enum(['amocrm', 'kommo']),
    client_id: Type.String({ minLength: 1, maxLength: 100, pattern: '^[\\x21-\\x7e]+$' }),
    client_secret: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1_000,
        description: 'of a new integration, a new one, or the present one to change a host',
      }),
    ),
    redirect_uri: Type.String({ maxLength: 500, pattern: '^https?://[^\\s#]+$' }),
    accepts_installs: Type.Optional(Type.Boolean({ default: false })),
    sandbox_origin: Type.Optional(
      Type.Union([Type.String({ maxLength: 200, pattern: '^https?://[^\\s/]+$' }), Type.Null()], {
        description: 'fixed at creation; null: the real provider',
      }),
    ),
    profile: Type.Optional(ProfileSchema),
  },
  { additionalProperties: false },
)

/** The order of an operator, in the words of the code. */
export function orderFrom(body: Static<typeof IntegrationBody>): IntegrationOrder {
  return {
    provider: body.provider,
    clientId: body.client_id,
    clientSecret: body.client_secret === undefined ? undefined : new Secret(body.client_secret),
    redirectUri: body.redirect_uri,
    acceptsInstalls: body.accepts_installs ?? false,
    sandboxOrigin: body.sandbox_origin ?? null,
    profile: overridesFrom(body.profile),
  }
}

/** What a profile says otherwise, in the words of the code. */
export function overridesFrom(profile: Static<typeof ProfileSchema> | undefined): ProfileOverrides {
  const { authorize_url, authorize_parameters, token_url, ...same } = profile ?? {}
  return {
    ...same,
    ...(authorize_url === undefined ? {} : { authorizeUrl: authorize_url }),
    ...(authorize_parameters === undefined ? {} : { authorizeParameters: authorize_parameters }),
    ...(token_url === undefined ? {} : { tokenUrl: token_url }),
  }
}

function profileToJson(profile: Profile): Static<typeof ProfileSchema> {
  return {
    authorize_url: profile.authorizeUrl,
    authorize_parameters: profile.authorizeParameters,
    scopes: profile.scopes,
    token_url: profile.tokenUrl,
    encoding: profile.encoding,
    probe: profile.probe,
  }
}

export const RemovedIntegrationSchema = Type.Object({
  name: Type.String(),
  removed: Type.Array(Type.String()),
  remains: Type.Array(Type.String()),
})

export const IntegrationSchema = Type.Object(
  {
    name: Type.String(),
    provider: Type.Enum(['amocrm', 'kommo', 'custom']),
    client_id: Type.String(),
    redirect_uri: Type.String(),
    accepts_installs: Type.Boolean({
      description: 'takes callbacks without a state, as an installation inside the CRM makes them',
    }),
    external: Type.Boolean({ description: 'made by a button, in one account alone' }),
    provisional_until: Type.Union([Time, Type.Null()], {
      description: 'removed then, unless the code that follows was exchanged',
    }),
    has_next_client_secret: Type.Boolean(),
    profile: ProfileSchema,
    sandbox_origin: Type.Union([Type.String(), Type.Null()], {
      description: 'talks to this sandbox and never to the provider',
    }),
    state: Type.Enum(['running', 'paused', 'halted'], {
      description: 'halted: it stopped itself, before it had many accounts authorized again',
    }),
    state_reason: Type.Union([Type.String(), Type.Null()]),
    last_error: Type.Union([
      Type.Object({
        code: Type.String(),
        at: Type.Union([Time, Type.Null()]),
        problem: Type.String(),
        remedy: Type.String(),
      }),
      Type.Null(),
    ]),
    breakers: Type.Array(
      Type.Object({ key: Type.String(), reason: Type.String(), opened_at: Time, open_until: Time }),
      { description: 'while there is one, nothing is sent until the provider is seen to work' },
    ),
    pace_per_second: Type.Number({ description: 'refreshes' }),
  },
  { $id: 'Integration' },
)

/** What an operator is told of an integration: nothing secret. */
export function toJson(integration: Integration): Static<typeof IntegrationSchema> {
  const { lastErrorCode: code, lastErrorAt } = integration
  return {
    name: integration.name,
    provider: integration.provider,
    client_id: integration.clientId,
    redirect_uri: integration.redirectUri,
    accepts_installs: integration.acceptsInstalls,
    external: integration.external,
    provisional_until: integration.provisionalUntil?.toISOString() ?? null,
    has_next_client_secret: integration.hasNextSecret,
    profile: profileToJson(integration.profile),
    sandbox_origin: integration.sandboxOrigin,
    state: integration.state,
    state_reason: integration.stateReason,
    last_error:
      code === null
        ? null
        : { code, at: lastErrorAt?.toISOString() ?? null, ...explainFailure(code) },
    breakers: integration.breakers.map(({ key, reason, openedAt, openUntil }) => ({
      key,
      reason,
      opened_at: openedAt.toISOString(),
      open_until: openUntil.toISOString(),
    })),
    pace_per_second: integration.pacePerSecond,
  }
}
