import type { AccountKey } from '../accounts/account-key.ts'
import { findPair, type TokenPair } from '../provider/token-endpoint.ts'

/** A pair that arrived, with the fence that it may be committed under: its own, never the row's of the moment. */
export interface Answer extends AccountKey {
  attemptId: number
  /** Of the pair that was presented for it. */
  generation: number
  fingerprint: string
  pair: TokenPair
  /** PostgreSQL's time when the request was sent, milliseconds since 1970. */
  sentAtMs: number
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
