import type { Platform } from './hosts.ts'

/** What the sandbox writes: always text, made here to the byte. */
export interface Answer {
  status: number
  contentType: string
  body: string
}

/** A refusal: its answer, and the word for it in the books. */
export interface Refusal extends Answer {
  outcome: string
  /** The client can see from it that the token was not spent (provider.md 3). */
  provesUnspent: boolean
}

const PROBLEM = 'application/problem+json'
const TITLES = {
  amocrm: {
    type: 'https://developers.amocrm.ru/v3/errors/OAuthProblemJson',
    request: [
      'Некорректный запрос',
      'В запросе отсутствует ряд параметров или параметры невалидны',
    ],
    client: ['Некорректный клиент', 'Авторизация клиента не прошла'],
  },
  kommo: {
    type: 'https://developers.kommo.com/v3/errors/OAuthProblemJson',
    request: ['Invalid request', 'Some parameters are missing in the request or are invalid'],
    client: ['Invalid client', 'Client authorization failed'],
  },
} as const

/** The token endpoint's refusal with a hint; keys in the order in which they were seen. */
export function hinted(
  platform: Platform,
  status: 400 | 401,
  hint: string,
  outcome: string,
  provesUnspent = true,
): Refusal {
  const { type, request } = TITLES[platform]
  const body = { hint, title: request[0], type, status, detail: request[1] }
  return { ...problem(status, body), outcome, provesUnspent }
}

/** Unknown client or wrong secret: 401, a title, no hint. */
export function wrongClient(platform: Platform): Refusal {
  const { type, client } = TITLES[platform]
  const body = { title: client[0], type, status: 401, detail: client[1] }
  return { ...problem(401, body), outcome: 'wrong_client', provesUnspent: true }
}

export function notFound(): Refusal {
  const answer = plainProblem(404, 'Not Found', 'Page not found.')
  return { ...answer, outcome: 'no_such_account', provesUnspent: true }
}

/** 401 with no hint: a renamed account, or the API's word for a dead token (provider.md 12). */
export function unauthorized(outcome: string): Refusal {
  const detail = 'Token is invalid or the account does not exist.'
  const answer = plainProblem(401, 'Unauthorized', detail)
  return { ...answer, outcome, provesUnspent: true }
}

/** The API's own problem+json, which points to httpstatus.es. */
export function plainProblem(status: number, title: string, detail: string): Answer {
  return problem(status, { title, type: `https://httpstatus.es/${status}`, status, detail })
}

/** Too many requests: 429, and the body is no JSON. */
export function tooManyRequests(): Refusal {
  const answer = {
    status: 429,
    contentType: 'text/plain; charset=utf-8',
    body: 'Too Many Requests',
  }
  return { ...answer, outcome: 'too_many_requests', provesUnspent: true }
}

/** nginx answers where the application does not: 403 when blocked, 502 and 504 in trouble. */
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
