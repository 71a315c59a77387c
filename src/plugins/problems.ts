import type { Socket } from 'node:net'
import type { ConnectionError, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type TSchema, Type } from 'typebox'
import { isStorageDown } from '../db/failures.ts'
import { BrokerError, ERRORS, type ErrorCode } from '../errors.ts'
import { auditing } from './audit.ts'

const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

/** RFC 9457, plus `code` and `request_id`; further members by code. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String(),
    request_id: Type.String(),
    remedy: Type.String(),
  },
  { $id: 'Problem', additionalProperties: true, description: 'RFC 9457' },
)

/** The `response` entries of a route for the errors that it can answer. */
export function problems(...codes: ErrorCode[]): Record<number, TSchema> {
  const byStatus = new Map<number, string[]>()
  for (const code of codes) {
    const [status] = ERRORS[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  const entries = Array.from(byStatus, ([status, names]) => [
    status,
    {
      description: names.map((name) => `\`${name}\``).join(', '),
      content: { 'application/problem+json': { schema: Type.Ref('Problem') } },
    },
  ])
  return Object.fromEntries(entries)
}

/** One error handler and one not-found handler: every error is a problem document, and none tells a secret. */
export const problemsPlugin = fp(
  async (app) => {
    app.decorateRequest('audited', null)
    app.addSchema(ProblemSchema)
    app.setErrorHandler((error: FastifyError, request, reply) => {
      const known = asBrokerError(error)
      if (known.code === 'internal_error') {
        request.log.error({ err: error, request_id: request.id }, 'request failed')
      }
      return sendProblem(request, reply, known)
    })
    app.setNotFoundHandler((request, reply) =>
      // Fastify's own answer and log line repeat the URL, which may carry a code.
      sendProblem(request, reply, new BrokerError('not_found', 'There is nothing at this path.')),
    )
  },
  { name: 'problems', fastify: '5.x' },
)

/** What an error means to a caller. Everything unforeseen is `internal_error`, and tells nothing. */
export function asBrokerError(error: FastifyError): BrokerError {
  if (error instanceof BrokerError) return error
  if (isStorageDown(error)) {
    return new BrokerError('storage_unavailable', 'PostgreSQL does not answer.', {
      retryAfterSeconds: 1,
      cause: error,
    })
  }
  if (error.validation !== undefined) return new BrokerError('bad_request', error.message)
  if (error.statusCode === 413)
    return new BrokerError('payload_too_large', 'The body is too large.')
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return new BrokerError('bad_request', 'The request cannot be read.')
  }
  return new BrokerError('internal_error', 'Something went wrong in the broker.')
}

/** Answers with the error's problem document. */
export function sendProblem(
  request: FastifyRequest,
  reply: FastifyReply,
  error: BrokerError,
): FastifyReply {
  const [status, title, remedy] = ERRORS[error.code]
  auditing(request, { outcome: error.code })
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', error.retryAfterSeconds)
  if (error.code === 'unauthorized') reply.header('www-authenticate', 'Bearer')
  reply.header('cache-control', 'no-store')
  const body = {
    type: `urn:amo-token-broker:${error.code}`,
    title,
    status,
    detail: error.message,
    code: error.code,
    request_id: request.id,
    remedy,
    ...error.members,
  }
  // Bytes by ourselves: a response schema would drop the members that only some codes have.
  return reply.code(status).type(PROBLEM_TYPE).send(JSON.stringify(body))
}

/**
 * What is no HTTP request is answered before any route: as the same document, without a word of what was sent. One that
 * did not come in time may be a good one, which a process that was stopped has not read: it may be sent again.
 */
export function answerClientError(error: ConnectionError, socket: Socket): void {
  if (socket.destroyed || error.code === 'ECONNRESET') return
  const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const code = isLate ? 'request_timeout' : 'bad_request'
  const [status, title, remedy] = ERRORS[code]
  const body = JSON.stringify({
    type: `urn:amo-token-broker:${code}`,
    title,
    status,
    detail: isLate
      ? 'The request did not arrive in time.'
      : 'This is no HTTP request, or its header is too large.',
    code,
    request_id: crypto.randomUUID(),
    remedy,
  })
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\ncontent-type: ${PROBLEM_TYPE}\r\nconnection: close\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}
