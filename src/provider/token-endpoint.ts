import { Secret } from '../vault/secret.ts'
import { type AccessTokenClaims, decodeAccessToken } from './access-token.ts'
import { type CallAnswer, CallFailed, call } from './call.ts'
import type { OAuthClient } from './profiles.ts'
import { type RefusalCode, sortRefusal } from './refusals.ts'

export interface TokenPair {
  accessToken: Secret
  refreshToken: Secret
  /** Always within what a token can live: a senseless `expires_in` is replaced by the token's own. */
  lifetimeSeconds: number
  /** Undefined when the access token is no JWT that the broker can read. */
  claims: AccessTokenClaims | undefined
}

/** `status` and `failure` are for the log: the HTTP status, or why there was none. */
export type TokenAnswer =
  | { kind: 'pair'; pair: TokenPair; sentAtMs: number }
  | { kind: 'not_written'; failure: string }
  | {
      kind: 'refused'
      code: RefusalCode
      status?: number
      failure?: string
      retryAfterSeconds?: number | undefined
    }

export type Grant =
  | { grantType: 'authorization_code'; code: Secret }
  | { grantType: 'refresh_token'; refreshToken: Secret }

export interface TokenCallOptions {
  /** From the first byte written to the end of the answer; nobody may hang up earlier. */
  limitMs: number
  /** See `call`. A refresh checks its lease here. */
  beforeWrite?: () => void
  /**
   * Gets every 2xx as it came, in the tick that read it and before anything is made of it, whole or not: whatever
   * holds a pair exists nowhere else. `sentAtMs` by `performance.now()`. Must not throw.
   */
  keep?: (body: Secret, sentAtMs: number) => void
}

/** The longest access token that was ever seen lives a day; whoever says more than this is mistaken. */
const MAX_LIFETIME_SECONDS = 31 * 24 * 3600
/** When neither the answer nor the token says anything sensible. */
const UNKNOWN_LIFETIME_SECONDS = 3600

/**
 * Presents a code or a refresh token at the account's token endpoint, once (RFC 6749 §4.1.3 and §6; provider page,
 * part 3). `redirect_uri` goes along with both grants. Never throws: every end is an answer.
 */
export async function requestTokens(
  client: OAuthClient,
  domain: string,
  grant: Grant,
  options: TokenCallOptions,
): Promise<TokenAnswer> {
  const secret: Record<string, string> =
    grant.grantType === 'refresh_token'
      ? { refresh_token: grant.refreshToken.reveal() }
      : { code: grant.code.reveal() }
  const fields = {
    client_id: client.clientId,
    client_secret: client.clientSecret.reveal(),
    grant_type: grant.grantType,
    redirect_uri: client.redirectUri,
    ...secret,
  }
  const isForm = client.profile.encoding === 'form'
  let sentAtMs = performance.now()
  try {
    const answer = await call(client, {
      method: 'POST',
      url: client.profile.tokenUrl.replace('{domain}', domain),
      headers: {
        'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json',
        accept: 'application/json',
      },
      body: isForm ? new URLSearchParams(fields).toString() : JSON.stringify(fields),
      limitMs: options.limitMs,
      beforeWrite: () => {
        options.beforeWrite?.()
        sentAtMs = performance.now()
      },
    })
    if (isSuccess(answer)) options.keep?.(new Secret(answer.body), sentAtMs)
    return readAnswer(answer, sentAtMs)
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
    return error.wasWritten
      ? { kind: 'refused', code: 'no_answer', failure: error.code }
      : { kind: 'not_written', failure: error.code }
  }
}

function isSuccess({ status }: CallAnswer): boolean {
  return status >= 200 && status < 300
}

function readAnswer(answer: CallAnswer, sentAtMs: number): TokenAnswer {
  const pair = isSuccess(answer) ? findPair(answer.body) : undefined
  if (pair !== undefined) return { kind: 'pair', pair, sentAtMs }
  const { status, retryAfterSeconds } = answer
  return { kind: 'refused', code: sortRefusal(answer), status, retryAfterSeconds }
}

/**
 * The pair in a 2xx body. A body that was cut off or is no JSON is searched for both tokens: a pair that
 * arrived is never lost to a missing brace.
 */
export function findPair(body: string): TokenPair | undefined {
  const fields = parseObject(body) ?? searchFields(body)
  const { access_token, refresh_token, expires_in } = fields
  if (typeof access_token !== 'string' || typeof refresh_token !== 'string') return undefined
  if (access_token === '' || refresh_token === '') return undefined
  const claims = decodeAccessToken(access_token)
  return {
    accessToken: new Secret(access_token),
    refreshToken: new Secret(refresh_token),
    lifetimeSeconds:
      sensible(Number(expires_in)) ??
      sensible(claims && claims.expiresAtSeconds - claims.issuedAtSeconds) ??
      UNKNOWN_LIFETIME_SECONDS,
    claims,
  }
}

function parseObject(body: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(body)
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
  } catch {
    return undefined
  }
}

function searchFields(body: string): Record<string, unknown> {
  const found = body.matchAll(
    /"(access_token|refresh_token|expires_in)"\s*:\s*"?([\w.~+/=-]+)["\s,}]/g,
  )
  return Object.fromEntries(Array.from(found, ([, name, value]) => [name, value]))
}

function sensible(seconds: number | undefined): number | undefined {
  if (seconds === undefined || !(seconds >= 1) || seconds > MAX_LIFETIME_SECONDS) return undefined
  return Math.floor(seconds)
}
