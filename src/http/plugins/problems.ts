import type { Socket } from 'node:net'
import type { ConnectionError, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { PROBLEM_SCHEMAS, ProblemSchema } from '../../contract/problem.ts'
import { failureOf } from '../../db/failures.ts'
import { BrokerError, ERRORS } from '../../lib/errors.ts'
import { runInRequest } from '../../lib/request-context.ts'
import { isBrowser, sendNothingHerePage } from '../public-pages/nothing-here.ts'
import { auditing } from './audit.ts'
import { unsupported } from './bodies.ts'
import { REQUEST_ID_HEADER } from './request-id.ts'
import { explainValidation } from './validation-texts.ts'

/** The public listener does not have the page that the remedy of `not_found` names. */
const PUBLIC_REMEDY = 'Check the path. This listener has only callbacks, connect links and hooks.'

const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

const STORAGE_DETAILS = {
  read_only: 'PostgreSQL accepts no writes.',
  busy: 'PostgreSQL is busy.',
  unreachable: 'PostgreSQL does not answer.',
} as const

/**
 * Turns every error into a problem document without secrets: one error handler, one not-found
 * handler.
 */
export const problemsPlugin = fp<{ isInternal: boolean }>(
  async (app, { isInternal }) => {
    app.decorateRequest('audited', null)
    for (const schema of [ProblemSchema, ...PROBLEM_SCHEMAS]) app.addSchema(schema)
    app.setErrorHandler((error: FastifyError, request, reply) => {
      const known = asBrokerError(error, request.body === undefined)
      if (known.code === 'internal_error') {
        runInRequest(request, () => request.log.error({ err: error }, 'request failed'))
      }
      return sendProblem(request, reply, known)
    })
    // Fastify's own response and log line repeat the URL, which may contain a code.
    app.setNotFoundHandler((request, reply) => {
      if (!isInternal && isBrowser(request)) return sendNothingHerePage(request, reply)
      const extras = isInternal ? {} : { members: { remedy: PUBLIC_REMEDY } }
      const error = new BrokerError('not_found', 'There is nothing at this path.', extras)
      return sendProblem(request, reply, error)
    })
  },
  { name: 'problems', fastify: '5.x' },
)

/**
 * Returns what an error means to a caller. Every unexpected error is `internal_error`, without
 * details. `isBodyMissing`: the request had no body.
 */
export function asBrokerError(error: FastifyError, isBodyMissing = false): BrokerError {
  if (error instanceof BrokerError) return error
  const failure = failureOf(error)
  if (failure !== 'statement') {
    return new BrokerError('storage_unavailable', STORAGE_DETAILS[failure], { cause: error })
  }
  const { validation, validationContext, statusCode } = error
  if (validation !== undefined) {
    const detail = explainValidation(validation, validationContext, isBodyMissing)
    return new BrokerError('bad_request', detail)
  }
  if (statusCode === 413) return new BrokerError('payload_too_large', 'The body is too large.')
  if (statusCode === 415) return unsupported()
  if (statusCode !== undefined && statusCode < 500) {
    return new BrokerError('bad_request', UNREADABLE[error.code] ?? 'The request cannot be read.')
  }
  return new BrokerError('internal_error', 'Something went wrong in the broker.')
}

/** Why Fastify could not read a request, by its error code. */
const UNREADABLE: Record<string, string> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'The body is not valid JSON.',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The body is not as long as Content-Length announces.',
}

/** Sends the problem document of an error, and records its code for the audit. */
export function sendProblem(
  request: FastifyRequest,
  reply: FastifyReply,
  error: BrokerError,
): FastifyReply {
  auditing(request, { outcome: error.code })
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', error.retryAfterSeconds)
  if (error.code === 'unauthorized') reply.header('www-authenticate', 'Bearer')
  reply.header('cache-control', 'no-store')
  // Some errors come before any hook has run.
  reply.header(REQUEST_ID_HEADER, request.id)
  // Serialized here: a response schema would drop the members that only some codes have.
  const body = JSON.stringify(problemOf(error, request.id))
  return reply.code(error.statusCode).type(PROBLEM_TYPE).send(body)
}

/**
 * Answers bytes that are not an HTTP request, before any route, with a problem document that
 * repeats none of them. A request that did not arrive in time may be sent again: a process that was
 * stopped does not read good requests either.
 *
 * @returns false when nobody is there to be answered
 */
export function answerClientError(error: ConnectionError, socket: Socket): boolean {
  if (socket.destroyed || error.code === 'ECONNRESET') return false
  const problem =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new BrokerError('request_timeout', 'The request did not arrive in time.')
      : new BrokerError('bad_request', 'This is not an HTTP request, or its header is too large.')
  const [status, title] = ERRORS[problem.code]
  const id = crypto.randomUUID()
  const body = JSON.stringify(problemOf(problem, id))
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\ncontent-type: ${PROBLEM_TYPE}\r\nconnection: close\r\n` +
      `${REQUEST_ID_HEADER}: ${id}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  return true
}

function problemOf({ code, message, members }: BrokerError, requestId: string) {
  const [status, title, remedy] = ERRORS[code]
  return {
    type: `urn:amo-token-broker:${code}`,
    title,
    status,
    detail: message,
    code,
    request_id: requestId,
    remedy,
    ...members,
  }
}
