import { Type } from '../lib/type.ts'
import { readExpiry, readIssuedAt } from './bounds.ts'
import { parseJson } from './parse-json.ts'

/** The claims of an access token that the broker uses (docs/provider.md, part 7). */
export interface AccessTokenClaims {
  accountId: number
  /** The client_id that the token was issued to. */
  audience: string
  /** Measures the provider's clock; `undefined`: the claim is missing or out of range. */
  issuedAtSeconds: number | undefined
  /** `undefined`: the claim is missing or out of range. */
  expiresAtSeconds: number | undefined
  apiDomain: string | undefined
}

/** Times are `Unknown`: a senseless one must not make the whole token unreadable. */
const Claims = Type.Object({
  account_id: Type.Integer({
    minimum: Number.MIN_SAFE_INTEGER,
    maximum: Number.MAX_SAFE_INTEGER,
  }),
  aud: Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })]),
  iat: Type.Optional(Type.Unknown()),
  exp: Type.Optional(Type.Unknown()),
  api_domain: Type.Optional(Type.Unknown()),
})

const Scopes = Type.Object({ scopes: Type.Array(Type.String(), { maxItems: 200 }) })

/** Returns what the token may be used for; null: it does not say. Not verified, for people only. */
export function readScopes(token: string): string[] | null {
  const [, payload = ''] = token.split('.')
  return parseJson(Scopes, Buffer.from(payload, 'base64url').toString())?.scopes ?? null
}

/**
 * Reads the claims without verifying the signature, because the provider publishes no key. Use it
 * only for tokens that came from the token endpoint over TLS, or that the provider has confirmed.
 *
 * @returns `undefined` when the token is not a JWT with an account and an audience.
 */
export function decodeAccessToken(
  token: string,
  nowMs = Date.now(),
): AccessTokenClaims | undefined {
  const [, payload = ''] = token.split('.')
  const claims = parseJson(Claims, Buffer.from(payload, 'base64url').toString())
  if (claims === undefined) return undefined
  const { account_id, aud, iat, exp, api_domain } = claims
  const [audience = ''] = [aud].flat()
  return {
    accountId: account_id,
    audience,
    issuedAtSeconds: readIssuedAt(iat, nowMs),
    expiresAtSeconds: readExpiry(exp, nowMs),
    apiDomain: typeof api_domain === 'string' ? api_domain : undefined,
  }
}
