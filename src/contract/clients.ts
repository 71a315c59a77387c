import { Type } from '../lib/type.ts'
import { INTEGRATION_NAME, Time, TimeOrNull } from './fields.ts'

const CLIENT_NAME = '^[a-z0-9][a-z0-9-]{0,62}$'
const MAX_GRANTS = 1_000
const MAX_DAYS = 3_650
const MAX_OVERLAP_SECONDS = 30 * 24 * 3600
const OVERLAP_SECONDS = 24 * 3600

const RoleField = Type.Enum(['reader', 'monitor', 'operator'], {
  description:
    'reader: tokens of its grants; monitor: health and account states; operator: everything',
})

const GrantSchema = Type.Object(
  {
    integration: Type.String({ pattern: INTEGRATION_NAME }),
    account: Type.String({
      pattern: '^(?:\\*|[1-9][0-9]{0,14}|(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9.-]{0,252})$',
      description:
        'account id, or * for every account of the integration; a domain or subdomain is replaced by the account id',
    }),
  },
  { additionalProperties: false },
)
const Grants = Type.Array(GrantSchema, { maxItems: MAX_GRANTS })
const ExpiresInDays = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: MAX_DAYS,
    description: 'omitted: the key is valid until it is revoked',
  }),
)

export const ClientParams = Type.Object({
  client: Type.String({ pattern: CLIENT_NAME, description: 'name of the client' }),
})

export const KeyParams = Type.Object({
  ...ClientParams.properties,
  key: Type.String({ pattern: '^[0-9a-f]{10}$', description: '`key_id` of the key' }),
})

export const ListClientsQuery = Type.Object(
  {
    after: Type.Optional(
      Type.String({ pattern: CLIENT_NAME, description: '`next` of the previous page' }),
    ),
  },
  { additionalProperties: false },
)

export const ClientBody = Type.Object(
  {
    name: Type.String({ pattern: CLIENT_NAME, description: 'name of the sibling service' }),
    role: RoleField,
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
        description: 'how long the previous key stays valid',
      }),
    ),
  },
  { additionalProperties: false },
)

export const ClientSchema = Type.Object(
  {
    name: Type.String(),
    role: RoleField,
    grants: Type.Array(Type.Object({ integration: Type.String(), account: Type.String() })),
    keys: Type.Array(
      Type.Object({ key_id: Type.String(), created_at: Time, expires_at: TimeOrNull }),
    ),
    created_at: Time,
    revoked_at: TimeOrNull,
  },
  { $id: 'Client', description: 'a client with its grants, without its keys' },
)

export const ClientPageSchema = Type.Object(
  { clients: Type.Array(Type.Ref('Client')), next: Type.Union([Type.String(), Type.Null()]) },
  { description: 'one page; `next` is null on the last one' },
)

export const MintedKeySchema = Type.Object(
  {
    client: Type.Ref('Client'),
    key_id: Type.String(),
    key: Type.String({ description: 'shown only this once; the broker stores a hash' }),
  },
  { $id: 'MintedKey', description: 'a new key' },
)
