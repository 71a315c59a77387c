import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { type AuditFilter, findEntries, getHead } from '../../../audit/store.ts'
import type { Broker } from '../../../broker.ts'
import { Type } from '../../../lib/type.ts'
import { entryToJson } from '../../audit/to-json.ts'
import { toCsv } from '../csv.ts'
import { type FormReading, readForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { auditTitle, auditView } from './audit-view.ts'
import { CSV_HEADER, csvCells } from './export.ts'

const PAGE = 100
/** An export reads this many rows at a time, and ends after so many. */
const EXPORT_PAGE = 1_000
const EXPORT_ROWS = 100_000

const day = Type.Optional(Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\d$' }))
const AuditForm = Type.Object({
  actor: Type.Optional(Type.String({ maxLength: 164 })),
  action: Type.Optional(Type.String({ maxLength: 40 })),
  outcome: Type.Optional(Type.String({ maxLength: 40 })),
  integration: Type.Optional(Type.String({ maxLength: 63 })),
  account: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
  since: day,
  until: day,
  before: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
})
const FormatParams = Type.Object({ format: Type.Enum(['csv', 'jsonl']) })

/** Shows who did what, and exports it. */
export const auditPages: FastifyPluginAsyncTypebox<Broker> = async (app, { database, health }) => {
  app.get('/console/audit', {
    schema: { hide: true, operationId: 'showAudit' },
    handler: async (request, reply) => {
      const read = readForm(request, AuditForm, request.query)
      const filter = filterOf(read)
      const entries = filter === undefined ? [] : await findEntries(database.db, filter, PAGE)
      const { seq } = await getHead(database.db)
      const chain = { seq, problem: health.auditProblem }
      return sendPage(request, reply, {
        title: auditTitle(chain),
        section: 'audit',
        main: auditView({ form: read.form, entries, chain, hasMore: entries.length === PAGE }),
        status: read.isValid ? 200 : 422,
      })
    },
  })

  app.get('/console/audit/export/:format', {
    schema: { hide: true, operationId: 'exportAudit', params: FormatParams },
    handler: (request, reply) => {
      const filter = filterOf(readForm(request, AuditForm, request.query))
      if (filter === undefined) return reply.redirect(`/console/audit?${queryOf(request)}`, 303)
      const { format } = request.params
      const lines = format === 'csv' ? csvLines : jsonLines
      const type = format === 'csv' ? 'text/csv' : 'application/x-ndjson'
      return reply
        .type(`${type}; charset=utf-8`)
        .headers({
          'cache-control': 'no-store',
          'content-disposition': `attachment; filename="audit.${format}"`,
        })
        .send(Readable.from(lines(pages(filter))))
    },
  })

  async function* pages(filter: AuditFilter) {
    let { before } = filter
    for (let rows = 0; rows < EXPORT_ROWS; rows += EXPORT_PAGE) {
      const entries = await findEntries(database.db, { ...filter, before }, EXPORT_PAGE)
      yield entries
      const last = entries.at(-1)
      if (last === undefined || entries.length < EXPORT_PAGE) return
      before = Number(last.id)
    }
  }
}

type Pages = AsyncIterable<Awaited<ReturnType<typeof findEntries>>>

async function* csvLines(pages: Pages) {
  yield toCsv(CSV_HEADER, [])
  for await (const entries of pages) yield toCsv(null, entries.map(csvCells))
}

async function* jsonLines(pages: Pages) {
  for await (const entries of pages) {
    yield entries.map((entry) => `${JSON.stringify(entryToJson(entry))}\n`).join('')
  }
}

/** A day begins and ends at midnight, UTC. */
function filterOf(read: FormReading<AuditFields>): AuditFilter | undefined {
  if (!read.isValid) return undefined
  const { since, until, ...rest } = read.data
  const [from, to] = [since, until].map((each) => (each === undefined ? undefined : new Date(each)))
  if ([from, to].some((each) => each !== undefined && Number.isNaN(each.getTime())))
    return undefined
  return { ...rest, since: from, until: to }
}

interface AuditFields {
  actor?: string
  action?: string
  outcome?: string
  integration?: string
  account?: number
  since?: string
  until?: string
  before?: number
}

function queryOf(request: FastifyRequest): string {
  return request.url.split('?')[1] ?? ''
}
