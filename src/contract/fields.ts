import { Type } from '../lib/type.ts'
import { PROVIDER_NAMES } from '../provider/profile-table.ts'

export const INTEGRATION_NAME = '^[a-z0-9][a-z0-9-]{0,62}$'
/** An account id, a domain or a subdomain. A domain has at most 253 characters. */
const ACCOUNT_NAME = '^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$'
const CURSOR = '^[a-z0-9][a-z0-9-]{0,62}/[0-9]{1,15}$'
/** Printable ASCII without spaces: what may stand in a header or a form unchanged. */
export const PRINTABLE = '^[\\x21-\\x7e]+$'

/** Text for people: no control characters. */
export const NO_CONTROLS = '^[^\\u0000-\\u001f\\u007f-\\u009f]+$'

/** A line without blanks at its ends. */
export const LABEL_PATTERN =
  '^[^\\s\\u0000-\\u001f\\u007f-\\u009f](?:[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f])?$'

/**
 * A UUID as PostgreSQL reads it. The format `uuid` also accepts `urn:uuid:…`, which PostgreSQL does
 * not.
 */
export const UuidField = Type.String({
  pattern: '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$',
})

export const Time = Type.String({ format: 'date-time' })
export const TimeOrNull = Type.Union([Time, Type.Null()])
export const StringOrNull = Type.Union([Type.String(), Type.Null()])
export const IntegerOrNull = Type.Union([Type.Integer(), Type.Null()])

export const IntegrationField = Type.String({ pattern: INTEGRATION_NAME })

export const DomainField = Type.String({
  pattern: ACCOUNT_NAME,
  description:
    'domain of the account, such as demo.amocrm.ru; a bare subdomain gets the zone of the platform',
})

export const AccountField = Type.String({
  pattern: ACCOUNT_NAME,
  description: 'account id (digits only), domain, or subdomain',
})

export const ExpectedAccountField = Type.String({
  pattern: ACCOUNT_NAME,
  description: 'id, domain or subdomain of the only account that may be connected with it',
})

/** Position in a list of accounts: integration and account id. */
export const CursorField = Type.String({
  pattern: CURSOR,
  description: '`next` of the previous page',
})

export const ScopesField = Type.Array(Type.String({ pattern: '^[A-Za-z0-9:_.-]{1,60}$' }), {
  maxItems: 100,
})

export const ProviderField = Type.Enum([...PROVIDER_NAMES])

export const RedirectUriField = Type.String({ maxLength: 500, pattern: '^https?://[^\\s#]+$' })

export const OriginField = Type.String({ maxLength: 200, pattern: '^https?://[^\\s/]+$' })

/** The last failure, with its remedy. */
export const FailureOrNull = Type.Union([
  Type.Object({
    code: Type.String(),
    at: TimeOrNull,
    problem: Type.String(),
    remedy: Type.String(),
  }),
  Type.Null(),
])
