import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from 'typebox'
import { requireOperator } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { callerOf } from '../plugins/auth.ts'
import { readInstant } from '../plugins/instant.ts'
import { problems } from '../plugins/problems.ts'
import { type AuditRow, findEntries, getHead } from './store.ts'

const PAGE = 100
const word = (pattern: string, description: string) =>
  Type.Optional(Type.String({ pattern, description }))
const Time = Type.String({ format: 'date-time' })
const IntegerOrNull = Type.Union([Type.Integer(), Type.Null()])

const Filter = Type.Object(
  {
    actor: word('^[a-z0-9-]{1,63}$', 'client, `operator`, `nobody`, `broker`, or `database`: psql'),
    action: word('^[A-Za-z]{1,40}$', 'the operation’s id'),
    outcome: word('^[a-z0-9_]{1,40}$', '`done`, or the code of the error'),
    integration: word('^[a-z0-9][a-z0-9-]{0,62}$', 'its name'),
    account: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
    since: Type.Optional(Time),
    until: Type.Optional(Time),
    before: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: '`next` of the page before',
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
    times: Type.Integer({ description: 'reads are counted for ten seconds' }),
    integration: Type.Union([Type.String(), Type.Null()]),
    account_id: IntegerOrNull,
    generation: IntegerOrNull,
    detail: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])),
    seq: IntegerOrNull,
  },
  { $id: 'AuditEntry' },
)

/** Who did what: for operators. */
export const auditRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (
  app,
  { database },
) => {
  app.addSchema(EntrySchema)

  app.get('/audit', {
    schema: {
      operationId: 'readAudit',
      tags: ['audit'],
      summary: 'Who did what, the newest first',
      querystring: Filter,
      response: {
        200: Type.Object({
          entries: Type.Array(Type.Ref('AuditEntry')),
          next: IntegerOrNull,
          head: Type.Object({ seq: Type.Integer(), mac: Type.String() }),
        }),
        ...problems(
          'bad_request',
          'unauthorized',
          'forbidden',
          'too_many_requests',
          'storage_unavailable',
          'internal_error',
        ),
      },
    },
    handler: async (request) => {
      requireOperator(callerOf(request), 'read the audit')
      const { query } = request
      const since = readInstant('since', query.since)
      const until = readInstant('until', query.until)
      const rows = await findEntries(database.db, { ...query, since, until }, PAGE)
      const { seq, mac } = await getHead(database.db)
      const last = rows.length === PAGE ? rows.at(-1) : undefined
      return {
        entries: rows.map(toJson),
        next: last === undefined ? null : Number(last.id),
        head: { seq, mac },
      }
    },
  })
}

function toJson(row: AuditRow): Static<typeof EntrySchema> {
  const number = (text: string | null) => (text === null ? null : Number(text))
  return {
    id: Number(row.id),
    at: row.at,
    actor: row.actor,
    action: row.action,
    outcome: row.outcome,
    times: Number(row.times),
    integration: row.integration,
    account_id: number(row.accountId),
    generation: number(row.generation),
    detail: JSON.parse(row.detail),
    seq: number(row.seq),
  }
}
