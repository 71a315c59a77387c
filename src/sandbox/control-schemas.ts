import { type Static, Type } from 'typebox'
import { PROFILES, PROVIDER_NAMES } from '../provider/profile-table.ts'
import { FaultSpec } from './faults.ts'

const strict = { additionalProperties: false }
const AccountRef = Type.Union([Type.Integer(), Type.String({ minLength: 1 })])
const PlatformName = Type.Enum([...PROVIDER_NAMES])

export const IntegrationBody = Type.Object(
  {
    platform: PlatformName,
    client_id: Type.String({ minLength: 1 }),
    client_secret: Type.String({ minLength: 1 }),
    redirect_uri: Type.String({ format: 'uri' }),
    name: Type.Optional(Type.String()),
    scopes: Type.Optional(Type.Array(Type.String())),
    disconnect_url: Type.Optional(Type.String({ format: 'uri' })),
    disabled: Type.Optional(Type.Boolean()),
  },
  strict,
)

export const AccountBody = Type.Object(
  {
    platform: PlatformName,
    subdomain: Type.String({ pattern: '^[A-Za-z0-9-]+$' }),
    account_id: Type.Optional(Type.Integer({ minimum: 1 })),
    name: Type.Optional(Type.String()),
    zone: Type.Optional(Type.Enum(PROVIDER_NAMES.flatMap((name) => [...PROFILES[name].zones]))),
    api_domain: Type.Optional(Type.String()),
    leads: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  strict,
)

/** An account, and the integration that determines its platform. */
export const Grantee = Type.Object({ client_id: Type.String(), account: AccountRef }, strict)

export const AccountOnly = Type.Object(
  {
    account: AccountRef,
    platform: Type.Optional(PlatformName),
    client_id: Type.Optional(Type.String()),
  },
  strict,
)

export const RenameBody = Type.Object(
  {
    account: AccountRef,
    platform: Type.Optional(PlatformName),
    subdomain: Type.String({ pattern: '^[A-Za-z0-9-]+$' }),
    old_host: Type.Optional(
      Type.Union([Type.Literal('404'), Type.Literal('401'), Type.Literal('invalid_account')]),
    ),
  },
  strict,
)

export const ExpireBody = Type.Object(
  {
    ...AccountOnly.properties,
    kinds: Type.Optional(
      Type.Array(
        Type.Union([
          Type.Literal('code'),
          Type.Literal('refresh_token'),
          Type.Literal('access_token'),
        ]),
      ),
    ),
  },
  strict,
)

export const DisconnectBody = Type.Object(
  {
    ...Grantee.properties,
    url: Type.Optional(Type.String({ format: 'uri' })),
    revoke: Type.Optional(Type.Boolean()),
    signature: Type.Optional(Type.String()),
  },
  strict,
)

export const ExternalBody = Type.Object(
  {
    account: AccountRef,
    platform: Type.Optional(PlatformName),
    redirect_uri: Type.String({ format: 'uri' }),
    secrets_uri: Type.String({ format: 'uri' }),
    state: Type.String(),
    name: Type.Optional(Type.String()),
    scopes: Type.Optional(Type.Array(Type.String())),
    encoding: Type.Optional(Type.Union([Type.Literal('json'), Type.Literal('form')])),
    scopes_as: Type.Optional(Type.Union([Type.Literal('array'), Type.Literal('string')])),
  },
  strict,
)

export const MintBody = Type.Object(
  {
    ...Grantee.properties,
    kind: Type.Optional(
      Type.Union([Type.Literal('pair'), Type.Literal('long_lived'), Type.Literal('code')]),
    ),
    access_ttl_seconds: Type.Optional(Type.Integer()),
    refresh_ttl_seconds: Type.Optional(Type.Integer()),
  },
  strict,
)

export const LimitsBody = Type.Object(
  {
    off: Type.Optional(Type.Boolean()),
    per_integration: Type.Optional(Type.Integer({ minimum: 1 })),
    per_account: Type.Optional(Type.Integer({ minimum: 1 })),
    block_after: Type.Optional(Type.Integer({ minimum: 0 })),
    block_ms: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  strict,
)

export const ScenarioParams = Type.Object({ name: Type.String() })
/** Without an account the scenario applies to all of them. */
export const ScenarioQuery = Type.Object({ account: Type.Optional(Type.String()) }, strict)

export const FaultList = Type.Array(FaultSpec)

export const BooksQuery = Type.Object({
  account: Type.Optional(Type.String()),
  since: Type.Optional(Type.Integer({ minimum: 0 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200_000 })),
})

export const StatsQuery = Type.Object({
  account: Type.Optional(Type.String()),
  accounts: Type.Optional(Type.Boolean()),
})

export type LimitsBody = Static<typeof LimitsBody>
