import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Act } from '../../audit/act.ts'
import type { AuditEntry } from '../../audit/entry.ts'
import type { AuditLog } from '../../audit/log.ts'
import type { AccountKey } from '../../lib/account-key.ts'
import { failpoint } from '../../lib/failpoint.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Added to the audit entry by a route or the error handler. */
    audited: Audited | null
    /** The act that a service records, if the route does one. */
    act: Act | null
  }
}

interface Audited {
  account?: AccountKey
  generation?: number
  outcome?: string
  detail?: Record<string, string | number>
}

interface AuditOptions {
  audit: AuditLog
  /** False for requests that are no act and no read of anybody, such as for a stylesheet. */
  isCounted?: (request: FastifyRequest) => boolean
}

const READS = ['GET', 'HEAD', 'OPTIONS']

/**
 * Audits every request of its scope. An act is a row of its own transaction. Other changes, and
 * everything that was refused or has failed, are a row before the response is sent. Reads, and
 * requests without a valid key, are counted.
 */
export const auditPlugin = fp<AuditOptions>(
  async (app, { audit, isCounted = () => true }) => {
    app.decorateRequest('act', null)
    app.addHook('onSend', (request, reply, payload, done) => {
      if (!isCounted(request)) return done(null, payload)
      if (request.caller === null || READS.includes(request.method)) {
        audit.count(entryOf(request, reply))
        return done(null, payload)
      }
      failpoint('act_done')
      if (request.act?.isRecorded && reply.statusCode < 400) return done(null, payload)
      audit.act(entryOf(request, reply)).then(() => done(null, payload), done)
    })
  },
  { name: 'audit', fastify: '5.x', decorators: { request: ['caller', 'audited'] } },
)

/** Adds to the audit entry of this request. */
export function auditing(request: FastifyRequest, what: Audited): void {
  const { account } = what
  // Copies only the key, so that nothing else of the object stays in memory until the entry is
  // written.
  const key = account && { integration: account.integration, accountId: account.accountId }
  request.audited = { ...request.audited, ...what, ...(key === undefined ? {} : { account: key }) }
}

/**
 * Begins the act of this request, which a service records in its transaction. `audited` of the
 * request must be set before the service is called.
 */
export function beginAct(request: FastifyRequest): Act {
  const act = new Act(() => nameAct(request))
  request.act = act
  return act
}

function nameAct({ audited, caller, params, routeOptions }: FastifyRequest): AuditEntry {
  return {
    actor: caller?.name ?? 'nobody',
    action: routeOptions.schema?.operationId ?? 'unknown',
    outcome: 'done',
    account: audited?.account,
    generation: audited?.generation,
    detail: { ...namedIn(params), ...audited?.detail },
  }
}

function entryOf(request: FastifyRequest, reply: FastifyReply): AuditEntry {
  const { audited } = request
  const named = nameAct(request)
  const isError = reply.statusCode >= 400
  return {
    ...named,
    outcome: reply.statusCode === 304 ? 'not_modified' : (audited?.outcome ?? 'done'),
    ...(isError ? { errorStatus: reply.statusCode } : {}),
    // A refused request may contain anything, also a secret in the wrong place.
    detail: isError ? {} : named.detail,
  }
}

/**
 * Returns the names in the path, except the account: it may be any name, and the route records
 * which account it is.
 */
function namedIn(params: unknown): Record<string, string> {
  const { client, integration, endpoint } = params as Partial<Record<string, string>>
  return {
    ...(client === undefined ? {} : { client }),
    ...(integration === undefined ? {} : { integration }),
    ...(endpoint === undefined ? {} : { endpoint }),
  }
}
