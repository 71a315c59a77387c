import { Type } from '../lib/type.ts'
import {
  CursorField,
  ExpectedAccountField,
  IntegerOrNull,
  IntegrationField,
  OriginField,
  ProviderField,
  RedirectUriField,
  ScopesField,
  StringOrNull,
  Time,
  TimeOrNull,
  UuidField,
} from './fields.ts'
import { ProfileSchema } from './integrations.ts'

/** One request makes at most this many links. */
export const RECONNECT_PAGE = 200

const ModeField = Type.Enum(['popup', 'post_message'], { default: 'popup' })
const OpenerOriginField = Type.String({
  maxLength: 200,
  pattern: '^https?://[A-Za-z0-9.:-]+$',
  description:
    'origin of the page that opens the link in a window: it gets the outcome by postMessage, then the window closes',
})

const linkFields = {
  mode: Type.Optional(ModeField),
  account: Type.Optional(ExpectedAccountField),
  opener_origin: Type.Optional(OpenerOriginField),
}

export const LinkBody = Type.Object(
  { integration: Type.String({ minLength: 1, maxLength: 63 }), ...linkFields },
  { additionalProperties: false },
)

export const LinkSchema = Type.Object(
  {
    id: Type.String({ description: 'names the link in GET and DELETE /connect-links' }),
    url: Type.String({ description: 'to be opened in the browser of an account administrator' }),
    expires_at: Time,
  },
  { description: 'the link' },
)

export const ListLinksQuery = Type.Object(
  { before: Type.Optional({ ...Time, description: '`next` of the previous page' }) },
  { additionalProperties: false },
)

export const LinkParams = Type.Object({ link: { ...UuidField, description: 'id of the link' } })

export const LinkProgressSchema = Type.Object(
  {
    id: Type.String(),
    integration: Type.Union(StringOrNull.anyOf, {
      description: 'null: a button will create the integration',
    }),
    account: Type.Union(StringOrNull.anyOf, {
      description: 'the only account that it may connect; null: any',
    }),
    mode: ModeField,
    created_by: Type.String({ description: 'name of the client' }),
    created_at: Time,
    expires_at: Time,
    state: Type.Enum(['not_opened', 'opened', 'in_progress', 'failed', 'connected', 'expired'], {
      description:
        'opened: by a person, or by the preview of a message; failed: the last attempt, and the link still works',
    }),
    failure: Type.Union(StringOrNull.anyOf, {
      description: 'outcome of the last attempt, if it failed',
    }),
    problem: Type.Optional(Type.String()),
    remedy: Type.Optional(Type.String()),
    opened_at: TimeOrNull,
    used_at: TimeOrNull,
    account_id: Type.Union(IntegerOrNull.anyOf, { description: 'the account that it connected' }),
    onboarding_id: Type.Union(StringOrNull.anyOf, { description: 'its newest onboarding' }),
  },
  { $id: 'ConnectLink', description: 'a connect link and what became of it' },
)

export const LinkPageSchema = Type.Object(
  { links: Type.Array(Type.Ref('ConnectLink')), next: StringOrNull },
  { description: 'one page; `next` is null on the last one' },
)

export const ReconnectBody = Type.Object(
  {
    integration: Type.Optional(IntegrationField),
    accounts: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }), {
        minItems: 1,
        maxItems: RECONNECT_PAGE,
      }),
    ),
    after: Type.Optional(CursorField),
  },
  { additionalProperties: false },
)

export const ReconnectSchema = Type.Object(
  {
    links: Type.Array(
      Type.Object({
        account_id: Type.Integer(),
        integration: Type.String(),
        domain: StringOrNull,
        status: Type.String(),
        last_error: StringOrNull,
        url: Type.String(),
      }),
    ),
    next: StringOrNull,
  },
  { description: 'one page of links; `next` is null on the last one' },
)

export const ButtonBody = Type.Object(
  {
    integration: Type.Optional({
      ...IntegrationField,
      description: 'an existing integration; otherwise `external`, and the button creates one',
    }),
    external: Type.Optional(
      Type.Object(
        {
          provider: ProviderField,
          redirect_uri: RedirectUriField,
          sandbox_origin: Type.Optional(OriginField),
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
      Type.Array(ScopesField.items, { maxItems: 100, default: ['crm', 'notifications'] }),
    ),
    ...linkFields,
  },
  { additionalProperties: false, minProperties: 1 },
)

export const ButtonSchema = Type.Object(
  {
    html: Type.String({ description: 'to be put into a page; connects one account, once' }),
    attributes: Type.Record(Type.String(), Type.String()),
    state: Type.String({ description: 'a secret: its holder may connect one account' }),
    secrets_uri: StringOrNull,
    expires_at: Time,
  },
  { description: 'the button' },
)

const secretText = (maxLength: number) => Type.String({ minLength: 1, maxLength })

/** Both platforms send more than they document. Unknown members are ignored. */
export const SecretsHookBody = Type.Object({
  client_id: Type.String({ maxLength: 100, pattern: '^[A-Za-z0-9-]{8,100}$' }),
  client_secret: secretText(500),
  state: secretText(1_024),
  name: Type.Optional(Type.String({ maxLength: 1_000 })),
  scopes: Type.Optional(
    Type.Union([
      Type.String({ maxLength: 2_000 }),
      Type.Array(Type.String({ maxLength: 100 }), { maxItems: 100 }),
    ]),
  ),
})

export const AcceptedSchema = Type.Object(
  { status: Type.Literal('accepted') },
  { description: 'received; what follows happens in the background' },
)
