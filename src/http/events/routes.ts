import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Caller } from '../../clients/caller.ts'
import { EventPageSchema, EventSchema, EventsQuery } from '../../contract/events.ts'
import type { Database } from '../../db/database.ts'
import { type EventRow, eventToJson } from '../../events/event-json.ts'
import { findEvents, getHeadPosition } from '../../events/store.ts'
import { maySeeEvent } from '../../events/visibility.ts'
import { callerOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'

const READ_AT_ONCE = 500
/** Bounds the work of a caller who may see few events. The page is then shorter. */
const MAX_READ = 5_000

interface EventRoutesOptions {
  database: Database
  consoleUrl: string
}

/**
 * Shows events: to readers those of the accounts of their grants, to monitors and operators all.
 */
export const eventRoutes: FastifyPluginAsyncTypebox<EventRoutesOptions> = async (
  app,
  { database, consoleUrl },
) => {
  app.addSchema(EventSchema)

  app.get('/events', {
    schema: {
      operationId: 'listEvents',
      tags: ['events'],
      summary: 'Returns events that the caller may see, the oldest first',
      querystring: EventsQuery,
      response: { 200: EventPageSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async (request) => {
      const { after = 0, limit = 100 } = request.query
      const from = await startOf(database, after)
      const page = await findVisible(database, callerOf(request), from, limit)
      return { ...page, events: page.events.map((event) => eventToJson(event, consoleUrl)) }
    },
  })
}

/**
 * Returns where a page starts. A position that was never given, because the database was restored,
 * means all events that are left, as for the stream.
 */
async function startOf({ db }: Database, after: number): Promise<number> {
  return after === 0 || after <= (await getHeadPosition(db)) ? after : 0
}

async function findVisible(
  { db }: Database,
  caller: Caller,
  after: number,
  limit: number,
): Promise<{ events: EventRow[]; next: number; more: boolean }> {
  const events: EventRow[] = []
  let next = after
  for (let read = 0; read < MAX_READ; read += READ_AT_ONCE) {
    const rows = await findEvents(db, next, READ_AT_ONCE)
    for (const row of rows) {
      if (events.length === limit) return { events, next, more: true }
      if (maySeeEvent(caller, row)) events.push(row)
      next = row.position ?? next
    }
    if (rows.length < READ_AT_ONCE) return { events, next, more: false }
  }
  return { events, next, more: true }
}
