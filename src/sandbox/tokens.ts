import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

/** The sealed content of an opaque token, which only the sandbox that made it can read. */
export interface OpaqueClaims {
  kind: 'code' | 'refresh_token'
  clientId: string
  account: string
  expiresAt: number
}

export interface AccessClaims {
  clientId: string
  accountId: number
  userId: number
  baseDomain: string
  apiDomain: string
  scopes: string[]
  issuedAtSeconds: number
  expiresAtSeconds: number
}

// Real codes and refresh tokens are about 1 KB of hex (docs/provider.md, parts 2 and 3).
const OPAQUE_PREFIX = 'def50200'
const OPAQUE_BYTES = 500
const IV_BYTES = 12
const TAG_BYTES = 16

/**
 * Returns the short name of a token for books and logs: 16 hex digits of its SHA-256, never the
 * token.
 */
export function tokenId(token: string): string {
  return createHash('sha256').update(token).digest('hex').slice(0, 16)
}

/**
 * Makes and reads opaque tokens. They are sealed, as the provider's tokens are. The sandbox
 * recognises a token that it made long ago without storing it.
 */
export function createOpaqueTokens() {
  const key = randomBytes(32)

  function seal(claims: OpaqueClaims): string {
    const text = JSON.stringify({ ...claims, salt: randomBytes(8).toString('hex') })
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key, iv)
    const padded = text.padEnd(OPAQUE_BYTES - IV_BYTES - TAG_BYTES)
    const sealed = Buffer.concat([cipher.update(padded), cipher.final()])
    return OPAQUE_PREFIX + Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('hex')
  }

  /** Returns undefined for a token that was changed, cut, or made elsewhere. */
  function open(token: string): OpaqueClaims | undefined {
    if (!token.startsWith(OPAQUE_PREFIX)) return undefined
    const hex = token.slice(OPAQUE_PREFIX.length)
    if (!/^[0-9a-f]+$/.test(hex) || hex.length < 2 * (IV_BYTES + TAG_BYTES)) return undefined
    const bytes = Buffer.from(hex, 'hex')
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES))
    decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES))
    try {
      const sealed = bytes.subarray(IV_BYTES + TAG_BYTES)
      const text = decipher.update(sealed, undefined, 'utf8') + decipher.final('utf8')
      return JSON.parse(text) as OpaqueClaims
    } catch {
      return undefined
    }
  }

  return { seal, open }
}

/**
 * Makes an access token that looks like the provider's: an RS256 header, the claims of
 * docs/provider.md, part 7, and about 1 KB. The signature is random. Nobody can check it, because
 * the provider publishes no key.
 */
export function makeAccessToken(claims: AccessClaims): string {
  const jti = randomBytes(40).toString('hex')
  const header = { typ: 'JWT', alg: 'RS256', jti }
  const payload = {
    aud: claims.clientId,
    jti,
    iat: claims.issuedAtSeconds,
    nbf: claims.issuedAtSeconds,
    exp: claims.expiresAtSeconds,
    sub: String(claims.userId),
    grant_type: '',
    account_id: claims.accountId,
    base_domain: claims.baseDomain,
    version: 2,
    scopes: claims.scopes,
    hash_uuid: randomBytes(16).toString('hex'),
    api_domain: claims.apiDomain,
  }
  const signature = randomBytes(256).toString('base64url')
  return `${part(header)}.${part(payload)}.${signature}`
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
