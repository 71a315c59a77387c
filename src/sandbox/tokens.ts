import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

/** What an opaque token says to the sandbox that made it, and to nobody else. */
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

// Real codes and refresh tokens are about 1 KB of hex (provider.md 2 and 3).
const OPAQUE_PREFIX = 'def50200'
const OPAQUE_BYTES = 500
const IV_BYTES = 12
const TAG_BYTES = 16

/** The short name of a token in books and logs: 16 hex digits of its SHA-256, never the token. */
export function tokenId(token: string): string {
  return createHash('sha256').update(token).digest('hex').slice(0, 16)
}

/**
 * Makes and reads opaque tokens. They are sealed, as the provider's are, so a token that this
 * sandbox made long ago is told from garbage without remembering it.
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

  /** Undefined for whatever was not made here, whole and unchanged. */
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
 * An access token that looks like the provider's: RS256 by its header, the claims of
 * provider.md 7, about 1 KB. The signature is random: no public key is published, nobody can
 * check it.
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
