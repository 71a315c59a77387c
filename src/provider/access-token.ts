/** The year 9999 ends. */
const MAX_SECONDS = 253_402_300_800

/** Claims of an access token that the broker uses (provider page, part 7). */
export interface AccessTokenClaims {
  accountId: number
  /** The client_id that the token was issued to. */
  audience: string
  issuedAtSeconds: number
  expiresAtSeconds: number
  apiDomain: string | undefined
}

/**
 * Decodes, does not verify: no public key is published. So only for tokens that came from the token
 * endpoint over TLS. Undefined when it is no JWT with these claims.
 */
export function decodeAccessToken(token: string): AccessTokenClaims | undefined {
  const [, payload = ''] = token.split('.')
  try {
    const claims: Record<string, unknown> = JSON.parse(Buffer.from(payload, 'base64url').toString())
    const { account_id, aud, iat, exp, api_domain } = claims
    const audience = Array.isArray(aud) ? aud[0] : aud
    if (!Number.isSafeInteger(account_id) || typeof audience !== 'string') return undefined
    if (!isTime(iat) || !isTime(exp)) return undefined
    return {
      accountId: Number(account_id),
      audience,
      issuedAtSeconds: iat,
      expiresAtSeconds: exp,
      apiDomain: typeof api_domain === 'string' ? api_domain : undefined,
    }
  } catch {
    return undefined
  }
}

/** Seconds since 1970, of which a Date can be made and stored. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < MAX_SECONDS
}
