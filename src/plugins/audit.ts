import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { AccountKey } from '../accounts/account-key.ts'
import type { AuditEntry } from '../audit/entry.ts'
import type { AuditLog } from '../audit/log.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What a route or the error handler knows of what happened. */
    audited: Audited | null
  }
}

export interface Audited {
  account?: AccountKey
  generation?: number
  outcome?: string
  detail?: Record<string, string | number>
}

const READS = ['GET', 'HEAD', 'OPTIONS']

/**
 * Everything that a caller does behind this: a change is a row before its answer leaves, whether it was let through or not;
 * reads, and whoever has no valid key, are counted.
 */
export const auditPlugin = fp<{ audit: AuditLog }>(
  async (app, { audit }) => {
    app.addHook('onSend', (request, reply, payload, done) => {
      if (request.caller === null || READS.includes(request.method)) {
        audit.count(entryOf(request, reply))
        return done(null, payload)
      }
      audit.act(entryOf(request, reply)).then(() => done(null, payload), done)
    })
  },
  { name: 'audit', fastify: '5.x', dependencies: ['auth'] },
)

/** Adds to what the audit will say of this request. */
export function auditing(request: FastifyRequest, what: Audited): void {
  const { account } = what
  // Whatever else the object has stays out of what is kept until it is written.
  const key = account && { integration: account.integration, accountId: account.accountId }
  request.audited = { ...request.audited, ...what, ...(key === undefined ? {} : { account: key }) }
}

function entryOf(request: FastifyRequest, reply: FastifyReply): AuditEntry {
  const { audited, caller } = request
  return {
    actor: caller?.name ?? 'nobody',
    action: request.routeOptions.schema?.operationId ?? 'unknown',
    outcome: reply.statusCode === 304 ? 'not_modified' : (audited?.outcome ?? 'done'),
    account: audited?.account,
    generation: audited?.generation,
    // What was refused may have named anything, a secret in the wrong place included.
    detail: reply.statusCode < 400 ? { ...namedIn(request.params), ...audited?.detail } : {},
  }
}

/** Names in the path. An account's may be anything there: the route says which account was meant. */
function namedIn(params: unknown): Record<string, string> {
  const { client, integration } = params as Partial<Record<string, string>>
  return {
    ...(client === undefined ? {} : { client }),
    ...(integration === undefined ? {} : { integration }),
  }
}
