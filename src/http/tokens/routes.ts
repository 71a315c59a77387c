import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AuditLog } from '../../audit/log.ts'
import {
  AccountParams,
  IntegrationQuery,
  ReadQuery,
  ReportBody,
  TokenSchema,
} from '../../contract/tokens.ts'
import { runInRequest } from '../../lib/request-context.ts'
import { Type } from '../../lib/type.ts'
import type { TokenRequest } from '../../tokens/decision.ts'
import type { Tokens } from '../../tokens/service.ts'
import { beginAct } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { REQUEST_ID_HEADER } from '../plugins/request-id.ts'
import { TOKEN_HEADERS } from '../plugins/security-headers.ts'
import { COMMON_PROBLEMS, NAMED_ACCOUNT_PROBLEMS, problems } from '../problem-responses.ts'
import { renderDecision, renderHit } from './responses.ts'
import type { TokenResponse } from './token-response.ts'

const JSON_TYPE = 'application/json; charset=utf-8'

const TOKEN_PROBLEMS = [
  ...COMMON_PROBLEMS,
  ...NAMED_ACCOUNT_PROBLEMS,
  'reauth_required',
  'disconnected',
  'pending',
  'refresh_pending',
  'provider_unavailable',
] as const

interface TokenRoutesOptions {
  tokens: Tokens
  audit: AuditLog
  monitoring: { reads: { onMiss(): void } }
}

/** Serves tokens, and takes reports of tokens that got a 401. */
export const tokenRoutes: FastifyPluginAsyncTypebox<TokenRoutesOptions> = async (
  app,
  { tokens, audit, monitoring },
) => {
  const { hits, reader, reports, forced } = tokens
  app.addSchema(TokenSchema)

  app.get('/tokens/:account', {
    config: { isForPrograms: true, hasHits: true },
    schema: {
      operationId: 'readToken',
      tags: ['tokens'],
      summary: 'Returns the token that is valid now',
      params: AccountParams,
      querystring: ReadQuery,
      response: {
        200: Type.Ref('Token'),
        304: Type.Null({ description: 'If-None-Match names the current ETag' }),
        ...problems(...TOKEN_PROBLEMS),
      },
    },
    handler: (request, reply) => {
      const { integration, min_ttl = 0 } = request.query
      const name = request.params.account.toLowerCase()
      const wanted = { name, integration, minTtlSeconds: min_ttl }
      const hit = hits.find(callerOf(request), wanted, renderHit)
      if (hit !== undefined) return sendRead(request, reply, hit)
      return runInRequest(request, () => readAndSend(request, reply, wanted))
    },
  })

  app.post('/tokens/:account/refresh', {
    config: { isForPrograms: true },
    schema: {
      operationId: 'reportToken',
      tags: ['tokens'],
      summary: 'Reports a token that got a 401',
      description:
        'Returns a newer token if there is one. Otherwise asks the provider, and rotates the token only if it is dead.',
      params: AccountParams,
      querystring: IntegrationQuery,
      body: ReportBody,
      response: {
        200: Type.Ref('Token'),
        ...problems(...TOKEN_PROBLEMS, 'too_many_reports', 'unknown_generation'),
      },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request)
      const name = request.params.account.toLowerCase()
      const { integration } = request.query
      const wanted = { name, integration, deadlineMs: arrivedMs(reply) + reader.waitMs }
      const decision =
        'force' in request.body
          ? await forced.force(caller, wanted, beginAct(request))
          : await reports.report(caller, wanted, request.body.generation)
      const response = renderDecision(decision)
      request.audited = response
      const { etag, body } = response
      return reply.header('etag', etag).type(JSON_TYPE).send(body)
    },
  })

  async function readAndSend(request: FastifyRequest, reply: FastifyReply, wanted: TokenRequest) {
    const inTime = { ...wanted, deadlineMs: arrivedMs(reply) + reader.waitMs }
    sendRead(request, reply, renderDecision(await reader.read(callerOf(request), inTime)))
    monitoring.reads.onMiss()
  }

  function sendRead(request: FastifyRequest, reply: FastifyReply, response: TokenResponse): void {
    request.audited = response
    const { etag } = response
    if (isCurrent(request.headers['if-none-match'], etag)) {
      reply.header('etag', etag).code(304).send()
      return
    }
    const { name: actor } = callerOf(request)
    const { outcome, account, generation } = response
    audit.countAgain(response.tally, { actor, action: 'readToken', outcome, account, generation })
    sendPrepared(reply, response, request.id)
  }
}

function arrivedMs({ elapsedTime }: FastifyReply): number {
  return performance.now() - elapsedTime
}

/**
 * Writes the response without Fastify's `onSend` hooks and serializer, which would inspect each
 * header and the body again. The response already has the security headers, and the read is
 * counted. The route's schema is only documentation.
 */
function sendPrepared(
  reply: FastifyReply,
  { length, etag, body, encoding }: TokenResponse,
  requestId: string,
): void {
  reply.hijack()
  // Written out, because spreading a list costs more. Node takes an array of names and values.
  reply.raw.writeHead(200, [
    'content-length',
    String(length),
    'etag',
    etag,
    'content-type',
    JSON_TYPE,
    // No HTTP cache may keep a token: `use_for` is the only promise.
    'cache-control',
    TOKEN_HEADERS['cache-control'],
    'vary',
    TOKEN_HEADERS.vary,
    'x-content-type-options',
    TOKEN_HEADERS['x-content-type-options'],
    REQUEST_ID_HEADER,
    requestId,
  ])
  reply.raw.end(body, encoding)
}

/**
 * Returns whether `If-None-Match` names the ETag (RFC 9110 §13.1.2). It may be a list; weak or
 * strong does not matter.
 */
function isCurrent(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch === etag || ifNoneMatch === '*') return true
  return ifNoneMatch.split(',').some((each) => each.trim().replace(/^W\//, '') === etag)
}
