import { Type } from '../lib/type.ts'
import {
  DomainField,
  FailureOrNull,
  IntegrationField,
  LABEL_PATTERN,
  NO_CONTROLS,
  PRINTABLE,
  StringOrNull,
  Time,
  TimeOrNull,
} from './fields.ts'

const Status = Type.Enum(['pending', 'active', 'reauth_required', 'disconnected'])

export const ListAccountsQuery = Type.Object(
  {
    status: Type.Optional({ ...Status, description: 'only accounts in this state' }),
    integration: Type.Optional({
      ...IntegrationField,
      description: 'only accounts of this integration',
    }),
    q: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        pattern: NO_CONTROLS,
        description:
          'searches for the beginning of an account id, of a domain, or of the words of a label',
      }),
    ),
    error: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9_]{1,40}$',
        description: 'only accounts with this `last_error`; `any`: with some',
      }),
    ),
    warning: Type.Optional(
      Type.Enum(['any', 'refresh_token_ends_soon', 'long_lived_token_ends_soon'], {
        description: 'only accounts with this `warning`',
      }),
    ),
    shadow: Type.Optional(Type.Boolean({ description: 'whether another service refreshes them' })),
    paused: Type.Optional(Type.Boolean({ description: 'whether their refreshes are stopped' })),
    order: Type.Optional(
      Type.Enum(['account', 'next_refresh', 'expiry'], {
        default: 'account',
        description:
          '`account`: by integration and id; `next_refresh`: by `next_attempt_at`; `expiry`: by `expires_at`. The earliest first, and accounts without a plan last',
      }),
    ),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 200, default: 100, description: 'accounts per page' }),
    ),
    after: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9][a-z0-9-]{0,62}/[0-9]{1,15}(?:/(?:[0-9]{1,16}|never))?$',
        description: '`next` of the previous page, with the same filters and order',
      }),
    ),
  },
  { additionalProperties: false },
)

export const AccountSchema = Type.Object(
  {
    account_id: Type.Integer(),
    integration: Type.String(),
    domain: StringOrNull,
    label: Type.Union([Type.String(), Type.Null()], {
      description: 'what operators call the account, such as the name of the customer',
    }),
    kind: Type.Enum(['oauth', 'long_lived']),
    status: Status,
    status_since: TimeOrNull,
    paused: Type.Boolean(),
    shadow: Type.Boolean({
      description: 'imported while another service refreshes it: served here, but not rotated',
    }),
    generation: Type.Integer(),
    expires_at: TimeOrNull,
    refresh_at: TimeOrNull,
    next_attempt_at: TimeOrNull,
    refresh_token_expires_at: TimeOrNull,
    last_refresh_at: TimeOrNull,
    failed_attempts: Type.Integer(),
    last_error: FailureOrNull,
    warning: Type.Union(FailureOrNull.anyOf, {
      description: 'what will stop the account for good unless somebody acts',
    }),
    created_at: TimeOrNull,
  },
  { $id: 'Account', description: 'the state of an account, without its tokens' },
)

export const LabelBody = Type.Object(
  {
    label: Type.Union(
      [Type.String({ minLength: 1, maxLength: 120, pattern: LABEL_PATTERN }), Type.Null()],
      {
        description: 'null removes it',
      },
    ),
  },
  { additionalProperties: false },
)

export const AccountPageSchema = Type.Object(
  { accounts: Type.Array(Type.Ref('Account')), next: StringOrNull },
  { description: 'one page; `next` is null on the last one' },
)

export const AccountCountsSchema = Type.Object(
  {
    accounts: Type.Array(
      Type.Object({
        integration: Type.String(),
        status: Type.String(),
        accounts: Type.Integer({ description: 'number of accounts' }),
        overdue_seconds: Type.Number({ description: 'how late the latest refresh is' }),
      }),
    ),
  },
  { description: 'numbers per integration and status' },
)

export const CheckSchema = Type.Object(
  {
    ok: Type.Boolean({ description: 'whether every check passed; `check` exits with 0 then' }),
    account_id: Type.Integer(),
    integration: Type.String(),
    domain: StringOrNull,
    api_url: Type.String(),
    checks: Type.Array(
      Type.Object({
        name: Type.Enum(['account', 'users', 'pipelines', 'leads', 'refresh_token']),
        ok: Type.Boolean(),
        status: Type.Union([Type.Integer(), Type.Null()], {
          description: 'HTTP status of the response; null: there was none',
        }),
        ms: Type.Integer(),
        count: Type.Optional(
          Type.Integer({ description: 'number of entries; of leads, those on the first page' }),
        ),
        more: Type.Optional(Type.Boolean({ description: 'there are further pages' })),
        note: Type.Optional(Type.String()),
        remedy: Type.Optional(Type.String()),
      }),
    ),
  },
  { description: 'the result of each request to the API' },
)

export const RemovedSchema = Type.Object(
  {
    account_id: Type.Integer(),
    integration: Type.String(),
    domain: StringOrNull,
    removed: Type.Array(Type.String(), { description: 'what the broker no longer has' }),
    remains: Type.Array(Type.String(), { description: 'what an operator may have to remove' }),
  },
  { description: 'the account is removed' },
)

const ImportedToken = Type.String({ minLength: 10, maxLength: 8192, pattern: PRINTABLE })

export const ImportHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      pattern: '^(?:W/)?"?[0-9]{1,16}"?$',
      description: 'generation of the pair to replace',
    }),
  ),
})

export const ImportBody = Type.Object(
  {
    integration: IntegrationField,
    domain: DomainField,
    access_token: ImportedToken,
    refresh_token: Type.Optional({
      ...ImportedToken,
      description: 'omit it for a long-lived token',
    }),
    expires_at: Type.Optional({
      ...Time,
      description: 'needed when the access token does not contain its expiry',
    }),
    shadow: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'serve the token but do not rotate it, while another service still does',
      }),
    ),
  },
  { additionalProperties: false },
)
