import { Type } from '../lib/type.ts'
import { Secret } from '../vault/secret.ts'
import { type AccessTokenClaims, decodeAccessToken } from './access-token.ts'
import { MAX_EXPIRES_IN_SECONDS, readExpiresIn } from './bounds.ts'
import { CallFailed, type CallResponse, call, type ProviderCall } from './call.ts'
import { parseJson } from './parse-json.ts'
import type { Profile } from './profile-table.ts'
import type { OAuthClient } from './profiles.ts'
import { type RawBody, rawBodyOf } from './raw-body.ts'
import { classifyRefusal, type RefusalCode } from './refusals.ts'

export interface TokenPair {
  accessToken: Secret
  refreshToken: Secret
  /** From one second to 30 days. An `expires_in` out of range is replaced by the token's own. */
  lifetimeSeconds: number
  /** `undefined`: the access token is not a JWT that the broker can read. */
  claims: AccessTokenClaims | undefined
}

/** How a request for tokens ended. `status` and `failure` are for the log. */
export type TokenResult =
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

interface TokenCallOptions {
  /** Limits the time from the first byte written to the end of the response. */
  limitMs: number
  /** See `call`. A refresh checks its lease here. */
  beforeWrite?: () => void
  /**
   * Receives the bytes of every 2xx, complete or not, in the tick that read it and before it is
   * parsed: the pair in it exists nowhere else. `sentAtMs` is by `performance.now()`. Must not
   * throw.
   */
  keep?: (body: RawBody, sentAtMs: number) => void
  /** The real call unless a test answers. */
  call?: ProviderCall
}

/** Assumed when neither the response nor the token has a usable lifetime. */
const UNKNOWN_LIFETIME_SECONDS = 3600

/**
 * Presents a code or a refresh token once at the account's token endpoint (RFC 6749 §4.1.3 and §6;
 * docs/provider.md, part 3). Both grants carry `redirect_uri`. Does not throw when the call fails:
 * the result says how it ended.
 */
export async function requestTokens(
  client: OAuthClient,
  domain: string,
  grant: Grant,
  options: TokenCallOptions,
): Promise<TokenResult> {
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
  const callProvider = options.call ?? call
  let sentAtMs = performance.now()
  try {
    const answer = await callProvider(client, {
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
    if (isSuccess(answer)) options.keep?.(answer.raw ?? rawTextOf(answer), sentAtMs)
    return readAnswer(client.profile, answer, sentAtMs)
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
    return error.wasWritten
      ? { kind: 'refused', code: 'no_answer', failure: error.code }
      : { kind: 'not_written', failure: error.code }
  }
}

function isSuccess({ status }: CallResponse): boolean {
  return status >= 200 && status < 300
}

function rawTextOf({ body }: CallResponse): RawBody {
  return rawBodyOf(Buffer.from(body), { contentEncoding: '', charset: '' })
}

function readAnswer(profile: Profile, answer: CallResponse, sentAtMs: number): TokenResult {
  const pair = isSuccess(answer) ? findPair(answer.body) : undefined
  if (pair !== undefined) return { kind: 'pair', pair, sentAtMs }
  const { status, retryAfterSeconds } = answer
  return { kind: 'refused', code: classifyRefusal(answer, profile), status, retryAfterSeconds }
}

const Pair = Type.Object({
  access_token: Type.String({ minLength: 1 }),
  refresh_token: Type.String({ minLength: 1 }),
  expires_in: Type.Optional(Type.Unknown()),
})

/**
 * Finds the token pair in a 2xx body. A body that was cut off or is not JSON is searched for both
 * tokens, so that a missing brace does not lose a pair that arrived.
 *
 * @returns `undefined` when a token is missing.
 */
export function findPair(body: string): TokenPair | undefined {
  const isJson = parseJson(Type.Unknown(), body) !== undefined
  const fields = parseJson(Pair, isJson ? body : searchFields(body))
  if (fields === undefined) return undefined
  const { access_token, refresh_token, expires_in } = fields
  const claims = decodeAccessToken(access_token)
  return {
    accessToken: new Secret(access_token),
    refreshToken: new Secret(refresh_token),
    lifetimeSeconds: readExpiresIn(expires_in) ?? lifetimeOf(claims) ?? UNKNOWN_LIFETIME_SECONDS,
    claims,
  }
}

function searchFields(body: string): string {
  const found = body.matchAll(
    /"(access_token|refresh_token|expires_in)"\s*:\s*"?([\w.~+/=-]+)["\s,}]/g,
  )
  return JSON.stringify(Object.fromEntries(Array.from(found, ([, name, value]) => [name, value])))
}

/** Capped: a refresh token dies after three months, so a pair is rotated long before. */
function lifetimeOf(claims: AccessTokenClaims | undefined): number | undefined {
  if (claims?.expiresAtSeconds === undefined) return undefined
  const { expiresAtSeconds, issuedAtSeconds = Date.now() / 1000 } = claims
  return readExpiresIn(Math.min(expiresAtSeconds - issuedAtSeconds, MAX_EXPIRES_IN_SECONDS))
}
