import { Type } from 'typebox'
import { WARNINGS } from './answer.ts'

export const AccountParams = Type.Object({
  account: Type.String({
    pattern: '^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$',
    description: 'account id (all digits), domain, or subdomain',
  }),
})

export const IntegrationQuery = Type.Object(
  {
    integration: Type.Optional(
      Type.String({ maxLength: 63, description: 'where a name fits several' }),
    ),
  },
  { additionalProperties: false },
)

export const ReadQuery = Type.Object(
  {
    ...IntegrationQuery.properties,
    min_ttl: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 86_400,
        description: 'seconds the token must live at least',
      }),
    ),
  },
  { additionalProperties: false },
)

export const ReportBody = Type.Union([
  Type.Object(
    {
      generation: Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'of the token that got a 401',
      }),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    { force: Type.Literal(true, { description: 'operators: rotate before the promised time' }) },
    { additionalProperties: false },
  ),
])

export const TokenSchema = Type.Object(
  {
    account_id: Type.Integer(),
    integration: Type.String(),
    domain: Type.Union([Type.String(), Type.Null()]),
    api_url: Type.String({ description: 'origin for API calls of this account' }),
    token_type: Type.Literal('Bearer'),
    access_token: Type.String(),
    expires_at: Type.String({ format: 'date-time' }),
    expires_in: Type.Integer({ description: 'seconds' }),
    use_until: Type.String({
      format: 'date-time',
      description: 'the broker does not rotate the token before; ask again afterwards',
    }),
    use_for: Type.Integer({
      description: 'seconds until use_until; 0: use it at once and do not keep it',
    }),
    generation: Type.Integer({ description: 'grows with every rotation; report it with a 401' }),
    stale: Type.Optional(Type.Boolean({ description: 'known from before PostgreSQL fell silent' })),
    warning: Type.Optional(
      Type.Enum([...WARNINGS], {
        description: 'why the token comes without a promise; shadow: another service refreshes it',
      }),
    ),
  },
  { $id: 'Token' },
)
