import { Type } from '../lib/type.ts'
import {
  FailureOrNull,
  IntegrationField,
  OriginField,
  PRINTABLE,
  ProviderField,
  RedirectUriField,
  ScopesField,
  StringOrNull,
  Time,
  TimeOrNull,
} from './fields.ts'

export const IntegrationParams = Type.Object({
  integration: Type.String({ ...IntegrationField, description: 'name of the integration' }),
})

const Url = Type.String({ minLength: 8, maxLength: 500 })

/** Overrides of the platform's profile. */
export const ProfileSchema = Type.Object(
  {
    authorize_url: Type.Optional(Url),
    authorize_parameters: Type.Optional(
      Type.Record(Type.String({ pattern: '^[a-z_]{1,40}$' }), Type.String({ maxLength: 500 }), {
        description:
          'in addition to client_id, state, mode and scope; {redirect_uri} stands for the redirect URI of the integration',
        additionalProperties: false,
      }),
    ),
    scopes: Type.Optional(ScopesField),
    token_url: Type.Optional({
      ...Url,
      description: '{domain} stands for the host of the account',
    }),
    encoding: Type.Optional(Type.Enum(['json', 'form'])),
    probe: Type.Optional(Type.Enum(['none', 'weak', 'strong'])),
  },
  { additionalProperties: false },
)

export const IntegrationBody = Type.Object(
  {
    provider: ProviderField,
    client_id: Type.String({ minLength: 1, maxLength: 100, pattern: PRINTABLE }),
    client_secret: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1_000,
        description:
          'needed for a new integration, to replace the secret, and to change a field that holds a host',
      }),
    ),
    redirect_uri: RedirectUriField,
    accepts_installs: Type.Optional(Type.Boolean({ default: false })),
    sandbox_origin: Type.Optional(
      Type.Union([OriginField, Type.Null()], {
        description: 'fixed when the integration is created; null: the real provider',
      }),
    ),
    profile: Type.Optional(ProfileSchema),
  },
  { additionalProperties: false },
)

export const PaceBody = Type.Object(
  {
    pace_per_second: Type.Union(
      [Type.Number({ exclusiveMinimum: 0, maximum: 1_000 }), Type.Literal('default')],
      { description: 'refreshes per second; default: PACE_PER_SECOND of the settings' },
    ),
  },
  { additionalProperties: false },
)

export const NextSecretBody = Type.Object(
  { client_secret: Type.String({ minLength: 1, maxLength: 1_000 }) },
  { additionalProperties: false },
)

export const RemovedIntegrationSchema = Type.Object(
  {
    name: Type.String(),
    removed: Type.Array(Type.String(), { description: 'what the broker no longer has' }),
    remains: Type.Array(Type.String(), { description: 'what an operator may have to remove' }),
  },
  { description: 'the integration is removed' },
)

export const IntegrationSchema = Type.Object(
  {
    name: Type.String(),
    provider: ProviderField,
    client_id: Type.String(),
    redirect_uri: Type.String(),
    accepts_installs: Type.Boolean({
      description: 'accepts callbacks without a state, which an installation in the CRM causes',
    }),
    external: Type.Boolean({ description: 'created by a button, for one account only' }),
    provisional_until: Type.Union(TimeOrNull.anyOf, {
      description: 'the integration is removed then, unless its code was exchanged before',
    }),
    has_next_client_secret: Type.Boolean(),
    profile: ProfileSchema,
    sandbox_origin: Type.Union(StringOrNull.anyOf, {
      description: 'all calls go to this sandbox and never to the provider',
    }),
    state: Type.Enum(['running', 'paused', 'halted'], {
      description:
        'halted: the integration stopped itself, before many accounts became reauth_required',
    }),
    state_reason: StringOrNull,
    last_error: FailureOrNull,
    breakers: Type.Array(
      Type.Object({ key: Type.String(), reason: Type.String(), opened_at: Time, open_until: Time }),
      { description: 'while one is open, nothing is sent until the provider is seen to work' },
    ),
    pace_per_second: Type.Number({ description: 'refreshes per second' }),
  },
  { $id: 'Integration', description: 'an integration, without its secrets' },
)

export const IntegrationListSchema = Type.Object(
  { integrations: Type.Array(Type.Ref('Integration')) },
  { description: 'all integrations' },
)
