import { decodeRawBody, type RawBody } from '../provider/raw-body.ts'
import { findPair, type TokenPair } from '../provider/token-endpoint.ts'
import type { Fence } from './fence.ts'

/**
 * What came of a send. It may only be committed under its own fence, never under the row's of the
 * moment (R8).
 */
interface Received extends Fence {
  attemptId: number
  /** PostgreSQL's time when the request was sent, milliseconds since 1970. */
  sentAtMs: number
}

/** The body of a 2xx as it arrived. */
export interface JournaledResponse extends Received {
  body: RawBody
}

/** A pair that arrived. */
export interface ReceivedPair extends Received {
  pair: TokenPair
  /** The access token is handed to nobody. The refresh token is good, and due at once. */
  isAccessDead?: boolean
  /**
   * Set for a parked pair that replaces a pair it did not come of: allowed to the owner of this
   * claim only.
   */
  adoptedBy?: { owner: string; sendCount: number }
}

/** @returns undefined when the response holds no complete pair. */
export function pairOfResponse({ body, ...received }: JournaledResponse): ReceivedPair | undefined {
  const pair = findPair(decodeRawBody(body))
  return pair && { ...received, pair }
}

/**
 * Returns the pair as the provider writes it (RFC 6749 §5.1). It holds both tokens and must be
 * sealed.
 */
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
  if (pair === undefined) throw new Error('a stored pair is incomplete')
  return pair
}
