import { noAnswer, parseObject } from './error.ts'

/** The time that a token must have left to be returned. The broker has the same limit. */
const MIN_REST_MS = 5_000

/** A token that is valid now. `inspect` and `JSON.stringify` show everything but the token. */
export class AmoToken {
  readonly #accessToken: string
  /** Origin for API calls, such as `https://demo.amocrm.ru`. */
  declare readonly apiUrl: string
  declare readonly accountId: number
  declare readonly integration: string
  declare readonly domain: string | undefined
  /** Grows with each rotation. Report it when the CRM answers 401. */
  declare readonly generation: number
  declare readonly expiresAt: Date
  /** The broker does not rotate the token before this time. */
  declare readonly useUntil: Date
  declare readonly warning: string | undefined
  declare readonly stale: boolean | undefined

  /** @internal */
  constructor(accessToken: string, fields: TokenFields) {
    this.#accessToken = accessToken
    Object.assign(this, fields)
  }

  get accessToken(): string {
    return this.#accessToken
  }
}

type TokenFields = Omit<AmoToken, 'accessToken'>

/** A token with its times on the client's monotonic clock. */
export interface TimedToken {
  token: AmoToken
  startedMs: number
  useUntilMs: number
  expiresMs: number
  /** A token with less time left than this is not returned. */
  restMs: number
}

/**
 * Reads the broker's token response.
 *
 * @param startedMs when the request was started: the times of the answer count from then, so that
 *   a slow answer never makes a token look longer than it lives
 * @throws AmoTokenError `unreadable_response`
 */
export function readToken(text: string, startedMs: number): TimedToken {
  const body = parseObject(text)
  const accessToken = stringOf(body.access_token)
  const { domain, warning } = body
  const token = new AmoToken(accessToken, {
    apiUrl: new URL(stringOf(body.api_url)).origin,
    accountId: numberOf(body.account_id),
    integration: stringOf(body.integration),
    domain: typeof domain === 'string' ? domain : undefined,
    generation: numberOf(body.generation),
    expiresAt: new Date(stringOf(body.expires_at)),
    useUntil: new Date(stringOf(body.use_until)),
    warning: typeof warning === 'string' ? warning : undefined,
    stale: body.stale === true ? true : undefined,
  })
  return {
    token,
    startedMs,
    useUntilMs: startedMs + numberOf(body.use_for) * 1000,
    expiresMs: startedMs + numberOf(body.expires_in) * 1000,
    restMs: Math.min(MIN_REST_MS, lifeMsOf(accessToken) / 10),
  }
}

/** Returns the life of a token, `exp - iat` of its claims; 0 where they cannot be read. */
function lifeMsOf(accessToken: string): number {
  const [, part = ''] = accessToken.split('.')
  try {
    const claims = parseObject(atob(part.replaceAll('-', '+').replaceAll('_', '/')))
    return Math.max(0, (numberOf(claims.exp) - numberOf(claims.iat)) * 1000)
  } catch {
    return 0
  }
}

function stringOf(value: unknown): string {
  if (typeof value === 'string') return value
  throw noAnswer('unreadable_response')
}

function numberOf(value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw noAnswer('unreadable_response')
}
