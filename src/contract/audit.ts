import { Type } from '../lib/type.ts'
import { INTEGRATION_NAME, IntegerOrNull, StringOrNull, Time } from './fields.ts'

const word = (pattern: string, description: string) =>
  Type.Optional(Type.String({ pattern, description }))

export const AuditQuery = Type.Object(
  {
    actor: word(
      '^[a-z0-9@._+-]{1,164}$',
      'client, `operator`, a person who signed in, `nobody`, or `database` (recorded by a trigger)',
    ),
    action: word('^[A-Za-z]{1,40}$', 'operationId'),
    outcome: word('^[a-z0-9_]{1,40}$', '`done`, or an error code'),
    integration: word(INTEGRATION_NAME, 'name of the integration'),
    account: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'account id',
      }),
    ),
    since: Type.Optional({ ...Time, description: 'only entries from this time on' }),
    until: Type.Optional({ ...Time, description: 'only entries before this time' }),
    before: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: '`next` of the previous page',
      }),
    ),
  },
  { additionalProperties: false },
)

export const EntrySchema = Type.Object(
  {
    id: Type.Integer(),
    at: Type.String(),
    actor: Type.String(),
    action: Type.String(),
    outcome: Type.String(),
    times: Type.Integer({ description: 'reads within ten seconds are one entry' }),
    integration: StringOrNull,
    account_id: IntegerOrNull,
    generation: IntegerOrNull,
    detail: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])),
    seq: IntegerOrNull,
  },
  { $id: 'AuditEntry', description: 'one act, or reads within ten seconds' },
)

export const AuditPageSchema = Type.Object(
  {
    entries: Type.Array(Type.Ref('AuditEntry')),
    next: IntegerOrNull,
    head: Type.Object(
      { seq: Type.Integer(), mac: Type.String() },
      { description: 'end of the chain; keep it elsewhere to notice removed entries' },
    ),
  },
  { description: 'one page; `next` is null on the last one' },
)
