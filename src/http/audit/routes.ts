import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { findEntries, getHead } from '../../audit/store.ts'
import { AuditPageSchema, AuditQuery, EntrySchema } from '../../contract/audit.ts'
import type { Database } from '../../db/database.ts'
import { readInstant } from '../instant.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { entryToJson } from './to-json.ts'

const PAGE = 100

/** Shows who did what. */
export const auditRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (
  app,
  { database },
) => {
  app.addSchema(EntrySchema)

  app.get('/audit', {
    schema: {
      operationId: 'readAudit',
      tags: ['audit'],
      summary: 'Returns who did what, the newest entry first',
      querystring: AuditQuery,
      response: { 200: AuditPageSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async (request) => {
      const { query } = request
      const since = readInstant('since', query.since)
      const until = readInstant('until', query.until)
      const rows = await findEntries(database.db, { ...query, since, until }, PAGE)
      const { seq, mac } = await getHead(database.db)
      const last = rows.length === PAGE ? rows.at(-1) : undefined
      return {
        entries: rows.map(entryToJson),
        next: last === undefined ? null : Number(last.id),
        head: { seq, mac },
      }
    },
  })
}
