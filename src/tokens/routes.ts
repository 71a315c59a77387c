import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import type { TokenAnswer } from './answer.ts'
import { AccountParams, IntegrationQuery, ReadQuery, ReportBody, TokenSchema } from './schemas.ts'
import type { Tokens } from './service.ts'

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

export const tokenRoutes: FastifyPluginAsyncTypebox<{ tokens: Tokens }> = async (
  app,
  { tokens },
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
    handler: async (request, reply) => {
      const { integration, min_ttl = 0 } = request.query
      const name = request.params.account.toLowerCase()
      const wanted = { name, integration, minTtlSeconds: min_ttl }
      return send(request, reply, await tokens.read(callerOf(request), wanted))
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
      return send(request, reply, answer)
    },
  })
}

/** The body is bytes already; the schema above is for the documentation. */
function send(request: FastifyRequest, reply: FastifyReply, answer: TokenAnswer): FastifyReply {
  request.audited = answer
  reply.headers({ etag: answer.etag, 'cache-control': `private, max-age=${answer.maxAgeSeconds}` })
  if (request.method === 'GET' && request.headers['if-none-match'] === answer.etag) {
    return reply.code(304).send()
  }
  return reply.type('application/json; charset=utf-8').send(answer.body)
}
