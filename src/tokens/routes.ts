import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { AuditLog } from '../audit/log.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import type { TokenAnswer } from './answer.ts'
import { AccountParams, IntegrationQuery, ReadQuery, ReportBody, TokenSchema } from './schemas.ts'
import type { TokenRequest, Tokens } from './service.ts'

const JSON_TYPE = 'application/json; charset=utf-8'

const TOKEN_PROBLEMS = [
  'bad_request',
  'unauthorized',
  'forbidden',
  'too_many_requests',
  'account_not_found',
  'reauth_required',
  'disconnected',
  'pending',
  'ambiguous_account',
  'refresh_pending',
  'provider_unavailable',
  'storage_unavailable',
  'key_missing',
  'internal_error',
] as const

export interface TokenRoutesOptions {
  tokens: Tokens
  audit: AuditLog
}

export const tokenRoutes: FastifyPluginAsyncTypebox<TokenRoutesOptions> = async (
  app,
  { tokens, audit },
) => {
  app.addSchema(TokenSchema)

  app.get('/tokens/:account', {
    schema: {
      operationId: 'readToken',
      tags: ['tokens'],
      summary: 'The token that is valid now',
      params: AccountParams,
      querystring: ReadQuery,
      response: {
        200: Type.Ref('Token'),
        304: Type.Null({ description: 'the ETag in If-None-Match is the present one' }),
        ...problems(...TOKEN_PROBLEMS),
      },
    },
    handler: (request, reply) => {
      const caller = callerOf(request)
      const { integration, min_ttl = 0 } = request.query
      const name = request.params.account.toLowerCase()
      const wanted = { name, integration, minTtlSeconds: min_ttl }
      const answer = tokens.readAtOnce(caller, wanted)
      if (answer === undefined) return readAndSend(request, reply, wanted)
      return send(request, reply, answer)
    },
  })

  app.post('/tokens/:account/refresh', {
    schema: {
      operationId: 'reportToken',
      tags: ['tokens'],
      summary: 'This token got a 401',
      description:
        'A newer one exists: that is the answer. Else the provider is asked; only a dead token is rotated.',
      params: AccountParams,
      querystring: IntegrationQuery,
      body: ReportBody,
      response: { 200: Type.Ref('Token'), ...problems(...TOKEN_PROBLEMS, 'too_many_reports') },
    },
    handler: async (request, reply) => {
      const wanted = {
        name: request.params.account.toLowerCase(),
        integration: request.query.integration,
      }
      const caller = callerOf(request)
      const answer =
        'force' in request.body
          ? await tokens.force(caller, wanted)
          : await tokens.report(caller, wanted, request.body.generation)
      send(request, reply, answer)
      return reply
    },
  })

  function send(request: FastifyRequest, reply: FastifyReply, answer: TokenAnswer): void {
    const { etag, cacheControl } = answer
    request.audited = answer
    if (request.method === 'POST') {
      reply.headers({ etag, 'cache-control': cacheControl }).type(JSON_TYPE).send(answer.body)
    } else if (isCurrent(request.headers['if-none-match'], etag)) {
      reply.headers({ etag, 'cache-control': cacheControl }).code(304).send()
    } else {
      const { name: actor } = callerOf(request)
      const { outcome, account, generation } = answer
      audit.countAgain(answer.tally, { actor, action: 'readToken', outcome, account, generation })
      sendPrepared(reply, answer)
    }
  }

  async function readAndSend(request: FastifyRequest, reply: FastifyReply, wanted: TokenRequest) {
    send(request, reply, await tokens.read(callerOf(request), wanted))
  }
}

/**
 * Past Fastify's own way out, which would look at each header and at the body once more: all of it was made together, the
 * security headers included, and the read is counted. The schema is for the documentation.
 */
function sendPrepared(reply: FastifyReply, { headers, body, encoding }: TokenAnswer): void {
  reply.hijack()
  reply.raw.writeHead(200, headers)
  reply.raw.end(body, encoding)
}

/** RFC 9110 §13.1.2: any of a list, and weak or strong makes no difference. */
function isCurrent(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch === etag || ifNoneMatch === '*') return true
  return ifNoneMatch.split(',').some((each) => each.trim().replace(/^W\//, '') === etag)
}
