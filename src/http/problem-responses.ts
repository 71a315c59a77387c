import type { TSchema } from 'typebox'
import { problemSchemaFor } from '../contract/problem.ts'
import { ERRORS, type ErrorCode } from '../lib/errors.ts'
import { Type } from '../lib/type.ts'

/** Errors of every operation that needs a key. */
export const COMMON_PROBLEMS = [
  'bad_request',
  'unauthorized',
  'forbidden',
  'unsupported_media_type',
  'too_many_requests',
  'storage_unavailable',
  'internal_error',
] as const satisfies ErrorCode[]

/** Errors of an operation on an account that is named in the path. */
export const NAMED_ACCOUNT_PROBLEMS = [
  'account_not_found',
  'integration_not_found',
  'ambiguous_account',
  'key_missing',
] as const satisfies ErrorCode[]

/** Errors of every operation that has a body. */
export const BODY_PROBLEMS = ['request_timeout', 'payload_too_large'] as const satisfies ErrorCode[]

const RetryAfter = Type.Integer({ description: 'seconds to wait before the next attempt' })
const Challenge = Type.String({ description: 'the scheme of the key: Bearer' })
/** Headers of problem documents, by status. */
const HEADERS: Record<number, Record<string, TSchema>> = {
  401: { 'WWW-Authenticate': Challenge },
  429: { 'Retry-After': RetryAfter },
  503: { 'Retry-After': RetryAfter },
}

interface ProblemResponse {
  description: string
  headers?: Record<string, TSchema>
  content: Record<string, { schema: TSchema; examples: Record<string, { $ref: string }> }>
}

/** Returns the `response` entries of a route for the errors that it can answer with. */
export function problems(...codes: ErrorCode[]): Record<number, ProblemResponse> {
  const byStatus = Map.groupBy(new Set(codes), (code) => ERRORS[code][0])
  return Object.fromEntries(
    Array.from(byStatus, ([status, names]) => [status, responseFor(status, names)]),
  )
}

function responseFor(status: number, codes: ErrorCode[]): ProblemResponse {
  const examples = codes.map((code) => [code, { $ref: `#/components/examples/${code}` }])
  const headers = HEADERS[status]
  return {
    description: codes.map((code) => `\`${code}\`: ${ERRORS[code][1]}`).join('; '),
    ...(headers === undefined ? {} : { headers }),
    content: {
      'application/problem+json': {
        schema: problemSchemaFor(codes),
        examples: Object.fromEntries(examples),
      },
    },
  }
}
