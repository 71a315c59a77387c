import { PROFILES } from '../provider/profile-table.ts'
import type { Platform } from './hosts.ts'

/** A response of the sandbox. The body is text, so that it is the same to the byte. */
export interface Answer {
  status: number
  contentType: string
  body: string
  /** Compresses the body on its way, as a proxy in front of the provider may. */
  coding?: ContentCoding | undefined
}

/** The content codings of a proxy (RFC 9110 §8.4.1). */
export type ContentCoding = 'gzip' | 'deflate' | 'br' | 'zstd'

/** A refusal: its response, and its outcome in the books. */
export interface Refusal extends Answer {
  outcome: string
  /** The refusal proves to the client that the token was not spent (docs/provider.md, part 3). */
  provesUnspent: boolean
}

const PROBLEM = 'application/problem+json'
const TITLES = {
  ru: {
    request: [
      'Некорректный запрос',
      'В запросе отсутствует ряд параметров или параметры невалидны',
    ],
    client: ['Некорректный клиент', 'Авторизация клиента не прошла'],
  },
  en: {
    request: ['Invalid request', 'Some parameters are missing in the request or are invalid'],
    client: ['Invalid client', 'Client authorization failed'],
  },
} as const

/**
 * Builds a refusal of the token endpoint with a hint. The keys have the order of the real
 * responses.
 */
export function hinted(
  platform: Platform,
  status: 400 | 401,
  hint: string,
  outcome: string,
  provesUnspent = true,
): Refusal {
  const { problemType: type, language } = PROFILES[platform].sandbox
  const { request } = TITLES[language]
  const body = { hint, title: request[0], type, status, detail: request[1] }
  return { ...problem(status, body), outcome, provesUnspent }
}

/** Unknown client or wrong secret: 401 with a title and no hint. */
export function wrongClient(platform: Platform): Refusal {
  const { problemType: type, language } = PROFILES[platform].sandbox
  const { client } = TITLES[language]
  const body = { title: client[0], type, status: 401, detail: client[1] }
  return { ...problem(401, body), outcome: 'wrong_client', provesUnspent: true }
}

export function notFound(): Refusal {
  const answer = plainProblem(404, 'Not Found', 'Page not found.')
  return { ...answer, outcome: 'no_such_account', provesUnspent: true }
}

/**
 * 401 without a hint: a renamed account, or the API's response to a dead token (docs/provider.md,
 * part 12).
 */
export function unauthorized(outcome: string): Refusal {
  const detail = 'Token is invalid or the account does not exist.'
  const answer = plainProblem(401, 'Unauthorized', detail)
  return { ...answer, outcome, provesUnspent: true }
}

/** The API's own problem+json, which refers to httpstatus.es. */
export function plainProblem(status: number, title: string, detail: string): Answer {
  return problem(status, { title, type: `https://httpstatus.es/${status}`, status, detail })
}

/** Too many requests: 429 with a body that is not JSON. */
export function tooManyRequests(): Refusal {
  const answer = {
    status: 429,
    contentType: 'text/plain; charset=utf-8',
    body: 'Too Many Requests',
  }
  return { ...answer, outcome: 'too_many_requests', provesUnspent: true }
}

/**
 * nginx responds in place of the application: 403 for a blocked client, 502 and 504 for a failure.
 */
export function nginx(status: 403 | 502 | 504): Refusal {
  const title = { 403: '403 Forbidden', 502: '502 Bad Gateway', 504: '504 Gateway Time-out' }[
    status
  ]
  const head = `<html>\r\n<head><title>${title}</title></head>\r\n`
  const body = `${head}<body>\r\n<center><h1>${title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`
  const outcome = status === 403 ? 'forbidden' : 'bad_gateway'
  return { status, contentType: 'text/html', body, outcome, provesUnspent: status === 403 }
}

export function json(status: number, value: unknown, contentType = 'application/json'): Answer {
  return { status, contentType, body: JSON.stringify(value) }
}

function problem(status: number, body: object): Answer {
  return json(status, body, PROBLEM)
}
