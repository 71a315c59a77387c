import { type Static, Type } from 'typebox'
import type { Grant } from './caller.ts'
import type { ClientRow } from './store.ts'

const NAME = '^[a-z0-9][a-z0-9-]{0,62}$'
const MAX_GRANTS = 1_000
const MAX_DAYS = 3_650
const MAX_OVERLAP_SECONDS = 30 * 24 * 3600
const OVERLAP_SECONDS = 24 * 3600

const Time = Type.String({ format: 'date-time' })
const TimeOrNull = Type.Union([Time, Type.Null()])
const RoleSchema = Type.Enum(['reader', 'monitor', 'operator'], {
  description:
    'reader: tokens of its grants; monitor: health and account states; operator: everything',
})

const GrantSchema = Type.Object(
  {
    integration: Type.String({ pattern: NAME }),
    account: Type.String({
      pattern: '^(?:\\*|[1-9][0-9]{0,14}|(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9.-]{0,252})$',
      description:
        'account id, or * for every account of the integration; a domain or subdomain becomes the id at once',
    }),
  },
  { additionalProperties: false },
)
const Grants = Type.Array(GrantSchema, { maxItems: MAX_GRANTS })
const ExpiresInDays = Type.Optional(
  Type.Integer({ minimum: 1, maximum: MAX_DAYS, description: 'none: until it is revoked' }),
)

export const ClientParams = Type.Object({ client: Type.String({ pattern: NAME }) })
export const KeyParams = Type.Object({
  ...ClientParams.properties,
  key: Type.String({ pattern: '^[0-9a-f]{10}$' }),
})
export const ListQuery = Type.Object(
  {
    after: Type.Optional(Type.String({ pattern: NAME, description: '`next` of the page before' })),
  },
  { additionalProperties: false },
)
export const ClientBody = Type.Object(
  {
    name: Type.String({ pattern: NAME, description: 'of the sibling service' }),
    role: RoleSchema,
    grants: Type.Optional(Grants),
    expires_in_days: ExpiresInDays,
  },
  { additionalProperties: false },
)
export const GrantsBody = Type.Object({ grants: Grants }, { additionalProperties: false })
export const KeyBody = Type.Object(
  {
    expires_in_days: ExpiresInDays,
    overlap_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: MAX_OVERLAP_SECONDS,
        default: OVERLAP_SECONDS,
        description: 'how long the key before this one is still valid',
      }),
    ),
  },
  { additionalProperties: false },
)

export const ClientSchema = Type.Object(
  {
    name: Type.String(),
    role: RoleSchema,
    grants: Type.Array(Type.Object({ integration: Type.String(), account: Type.String() })),
    keys: Type.Array(
      Type.Object({ key_id: Type.String(), created_at: Time, expires_at: TimeOrNull }),
    ),
    created_at: Time,
    revoked_at: TimeOrNull,
  },
  { $id: 'Client' },
)

export const MintedKeySchema = Type.Object(
  {
    client: Type.Ref('Client'),
    key_id: Type.String(),
    key: Type.String({ description: 'shown this once; kept as a hash' }),
  },
  { $id: 'MintedKey' },
)

export function toJson(client: ClientRow): Static<typeof ClientSchema> {
  return {
    name: client.name,
    role: client.role,
    grants: client.grants.map(grantToJson),
    keys: client.keys.map(({ id, createdAt, expiresAt }) => ({
      key_id: id,
      created_at: createdAt,
      expires_at: expiresAt,
    })),
    created_at: client.createdAt.toISOString(),
    revoked_at: client.revokedAt?.toISOString() ?? null,
  }
}

/** In the shape in which it is ordered. */
function grantToJson({ integration, accountId }: Grant) {
  return { integration, account: accountId === null ? '*' : String(accountId) }
}
