import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { reachOf } from '../../../clients/caller.ts'
import type { Identity } from '../../../db/tables/access.ts'
import { beginAct } from '../../plugins/audit.ts'
import { cookieNameFor, setSessionCookie } from '../session-guard.ts'

/** Opens a session for the browser that sent a request, and records who signed in. */
export async function openSession(
  request: FastifyRequest,
  reply: FastifyReply,
  { sessions, database, consoleUrl }: Pick<Broker, 'sessions' | 'database' | 'consoleUrl'>,
  identity: Identity,
): Promise<void> {
  request.caller = { ...identity, reach: reachOf([]) }
  const act = beginAct(request)
  const token = await database.db.transaction().execute((trx) => sessions.open(trx, identity, act))
  setSessionCookie(reply, cookieNameFor(consoleUrl, 'console'), token)
}
