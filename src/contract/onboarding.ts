import { Type } from '../lib/type.ts'
import {
  DomainField,
  IntegerOrNull,
  IntegrationField,
  PRINTABLE,
  StringOrNull,
  Time,
  TimeOrNull,
  UuidField,
} from './fields.ts'

export const ExchangeCodeBody = Type.Object(
  {
    integration: IntegrationField,
    domain: DomainField,
    code: Type.String({ minLength: 20, maxLength: 8192, pattern: PRINTABLE }),
  },
  { additionalProperties: false },
)

export const ListOnboardingsQuery = Type.Object(
  { before: Type.Optional({ ...Time, description: '`next` of the previous page' }) },
  { additionalProperties: false },
)

export const OnboardingParams = Type.Object({
  onboarding: { ...UuidField, description: 'id of the onboarding' },
})

export const OnboardingSchema = Type.Object(
  {
    id: Type.String(),
    origin: Type.Enum(['consent', 'install', 'exchange', 'manual', 'hook'], {
      description:
        'consent: a connect link; install: from inside the CRM; exchange: an API key; manual: an operator',
    }),
    integration: Type.String(),
    host: Type.Union(StringOrNull.anyOf, { description: 'host that the code belongs to' }),
    link_id: Type.Union(StringOrNull.anyOf, { description: 'id of the connect link; null: none' }),
    outcome: Type.Union(StringOrNull.anyOf, {
      description:
        'connected, pending (awaits approval), superseded, or what failed; null: in progress',
    }),
    problem: Type.Optional(Type.String()),
    remedy: Type.Optional(Type.String()),
    account_id: IntegerOrNull,
    domain: StringOrNull,
    received_at: Time,
    finished_at: TimeOrNull,
  },
  { $id: 'Onboarding', description: 'a consent, install or code, and its outcome' },
)

export const OnboardingPageSchema = Type.Object(
  { onboardings: Type.Array(Type.Ref('Onboarding')), next: StringOrNull },
  { description: 'one page; `next` is null on the last one' },
)

export const ExchangeApiKeyBody = Type.Object(
  {
    integration: IntegrationField,
    domain: DomainField,
    login: Type.String({ minLength: 3, maxLength: 200, description: 'e-mail of the user' }),
    api_key: Type.String({ minLength: 8, maxLength: 500, pattern: PRINTABLE }),
  },
  { additionalProperties: false },
)

export const ExchangeParams = Type.Object({
  exchange: { ...UuidField, description: 'id of the exchange' },
})

export const ExchangeSchema = Type.Object(
  {
    id: Type.String(),
    integration: Type.String(),
    domain: Type.String(),
    outcome: Type.Union(StringOrNull.anyOf, {
      description: 'connected, or what failed; null: the code has not arrived yet',
    }),
    problem: Type.Optional(Type.String()),
    remedy: Type.Optional(Type.String()),
    account_id: IntegerOrNull,
    created_at: Time,
  },
  { $id: 'Exchange', description: 'an exchange of an API key, and its outcome' },
)

export const DisconnectQuery = Type.Object({
  account_id: Type.Integer({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'account that removed the integration',
  }),
  client_uuid: Type.String({
    minLength: 1,
    maxLength: 100,
    description: 'client id of the integration',
  }),
  signature: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'HMAC-SHA256, hex' }),
})

const parameter = (maxLength: number, description: string) =>
  Type.Optional(Type.String({ maxLength, description }))

/** Parameters of a callback. */
export const CallbackQuerySchema = Type.Object({
  code: parameter(8192, 'authorization code'),
  state: parameter(1024, 'state of a connect link or button; an install from the CRM has none'),
  referer: parameter(300, 'host of the account'),
  platform: parameter(10, 'number of the platform: 1 is amoCRM, 2 is Kommo'),
  client_id: parameter(100, 'client id of the integration'),
  error: parameter(200, 'why there is no code, such as `access_denied`'),
  error_description: parameter(1000, 'the same as a text'),
  from_widget: parameter(10, '1: the provider’s server calls, after an install'),
  from_exchange: parameter(10, '1: the provider’s server calls, after an API key was exchanged'),
})
