import type { AccountKey } from '../accounts/account-key.ts'
import { findPair, type TokenPair } from '../provider/token-endpoint.ts'
import type { Secret } from '../vault/secret.ts'

/** Which row a change is meant for: the pair that was presented, by its generation and its fingerprint. */
export interface Fence extends AccountKey {
  generation: number
  fingerprint: string
}

/** An answer of the provider, with the fence that it may be committed under: its own, never the row's of the moment. */
interface Answered extends Fence {
  attemptId: number
  /** PostgreSQL's time when the request was sent, milliseconds since 1970. */
  sentAtMs: number
}

/** A 2xx as it came. */
export interface KeptAnswer extends Answered {
  body: Secret
}

/** A pair that arrived. */
export interface Answer extends Answered {
  pair: TokenPair
  /** Its access token is handed to nobody; the refresh token is good, and due at once. */
  isAccessDead?: boolean
  /** It did not come of the pair that it replaces, which is parked then: on the verdict of the claim's owner alone. */
  adoptedBy?: { owner: string; sendCount: number }
}

/** Undefined: the 2xx holds no complete pair. */
export function readKept({ body, ...answered }: KeptAnswer): Answer | undefined {
  const pair = findPair(body.reveal())
  return pair && { ...answered, pair }
}

/** As the provider writes it (RFC 6749 §5.1). To be sealed: it holds both tokens. */
export function pairToJson(pair: Omit<TokenPair, 'claims'>): string {
  return JSON.stringify({
    access_token: pair.accessToken.reveal(),
    refresh_token: pair.refreshToken.reveal(),
    expires_in: pair.lifetimeSeconds,
  })
}

/** Throws when the text is not from `pairToJson`. */
export function pairFromJson(text: string): TokenPair {
  const pair = findPair(text)
  if (pair === undefined) throw new Error('a kept answer holds no pair')
  return pair
}
