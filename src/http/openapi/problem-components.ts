import { PROBLEM_MEMBERS } from '../../contract/problem.ts'
import { ERRORS, type ErrorCode } from '../../lib/errors.ts'
import { type ApiDocument, type ApiResponse, type Json, operationsOf } from './api-document.ts'
import { findValue } from './build-example.ts'

const PROBLEM_TYPE = 'application/problem+json'
const REQUEST_ID = '5f0c9a7be21d4c38-2t'

/**
 * Writes the problem documents of a document once: an example for each code, and a shared response
 * where a status has one code.
 */
export function shareProblems(document: ApiDocument): void {
  const responses: Record<string, ApiResponse> = {}
  const used = new Set<string>()
  for (const operation of operationsOf(document)) {
    for (const [status, response] of Object.entries(operation.responses)) {
      const codes = Object.keys(response.content?.[PROBLEM_TYPE]?.examples ?? {})
      for (const code of codes) used.add(code)
      const [code] = codes
      if (code === undefined || codes.length > 1) continue
      if (Object.keys(response.content ?? {}).length > 1) continue
      responses[code] = response
      operation.responses[status] = { $ref: `#/components/responses/${code}` }
    }
  }
  const examples = (Object.keys(ERRORS) as ErrorCode[])
    .filter((code) => used.has(code))
    .map((code) => [code, { summary: ERRORS[code][1], value: problemOf(code) }])
  Object.assign(document.components, { responses, examples: Object.fromEntries(examples) })
}

function problemOf(code: ErrorCode): Json {
  const [status, title, remedy] = ERRORS[code]
  const members = Object.keys(PROBLEM_MEMBERS[code] ?? {}).map((name) => [
    name,
    findValue(code, name) ?? null,
  ])
  return {
    type: `urn:amo-token-broker:${code}`,
    title,
    status,
    detail: `${title}.`,
    code,
    request_id: REQUEST_ID,
    remedy,
    ...Object.fromEntries(members),
  }
}
