import { Type } from '../lib/type.ts'
import { AccountField, StringOrNull } from './fields.ts'

export const AccountParams = Type.Object({ account: AccountField })

export const IntegrationQuery = Type.Object(
  {
    integration: Type.Optional(
      Type.String({
        maxLength: 63,
        description: 'needed when the name fits accounts of several integrations',
      }),
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
        description: 'seconds that the token must still live',
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
        description: 'generation of the token that got a 401',
      }),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    { force: Type.Literal(true, { description: 'operators only: rotate before use_until' }) },
    { additionalProperties: false },
  ),
])

export const TokenSchema = Type.Object(
  {
    account_id: Type.Integer(),
    integration: Type.String(),
    domain: StringOrNull,
    api_url: Type.String({ description: 'origin for API calls of this account' }),
    token_type: Type.Literal('Bearer'),
    access_token: Type.String(),
    expires_at: Type.String({ format: 'date-time' }),
    expires_in: Type.Integer({ description: 'seconds until expires_at' }),
    use_until: Type.String({
      format: 'date-time',
      description: 'the broker does not rotate the token before this time; ask again afterwards',
    }),
    use_for: Type.Integer({
      description: 'seconds until use_until; 0: use the token now and do not store it',
    }),
    generation: Type.Integer({
      description: 'grows with every rotation, a 64-bit integer; send it when you report a 401',
    }),
    stale: Type.Optional(
      Type.Boolean({
        description: 'last known token: PostgreSQL does not answer, or is not the present primary',
      }),
    ),
    warning: Type.Optional(
      Type.Enum(
        [
          'refresh_pending',
          'provider_unavailable',
          'reauth_required',
          'min_ttl_capped',
          'paused',
          'shadow',
          'storage_read_only',
        ],
        {
          description:
            'why use_until gives no guarantee, or min_ttl is not met; shadow: another service refreshes the account; storage_read_only: nothing can be rotated now',
        },
      ),
    ),
  },
  { $id: 'Token', description: 'the token that is valid now' },
)
