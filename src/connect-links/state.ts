import type { KeyedHash } from '../vault/keyed-hash.ts'

/** The time that a person has to log in and consent. A code lives 20 minutes too. */
const STATE_LIFETIME_SECONDS = 20 * 60

/**
 * Makes the `state` of an authorization request (RFC 6749 §10.12). It names the link, expires, and
 * is bound to the browser that opened the link. It is not stored, so that previews of links fill no
 * table. The link itself works once.
 */
export function mintState(hash: KeyedHash, linkId: string, browserId: string): string {
  const expiresAtSeconds = Math.floor(Date.now() / 1000) + STATE_LIFETIME_SECONDS
  const claim = `${linkId}.${expiresAtSeconds}`
  return `${claim}.${hash.of(`${claim}.${browserId}`)}`
}

/** Stands in for a browser id, which is always longer. */
const BUTTON = 'button'
const EXCHANGE = 'exchange'

/**
 * Makes the state of a button, which is not bound to a browser: like a link, it works once for
 * anyone who has it.
 */
export function mintButtonState(hash: KeyedHash, linkId: string, expiresAt: Date): string {
  const claim = `${linkId}.${Math.floor(expiresAt.getTime() / 1000)}`
  return `${claim}.${hash.of(`${claim}.${BUTTON}`)}`
}

/** Makes the state that the provider's server returns with the code for an API key. */
export function mintExchangeState(hash: KeyedHash, exchangeId: string): string {
  const claim = `${EXCHANGE}.${exchangeId}`
  return `${claim}.${hash.of(claim)}`
}

/**
 * Reads the exchange that a state was made for.
 *
 * @returns `undefined` when the state is not the state of an exchange.
 */
export function checkExchangeState(hash: KeyedHash, state: string): string | undefined {
  const [kind, exchangeId = '', mac = '', ...rest] = state.split('.')
  if (kind !== EXCHANGE || rest.length > 0) return undefined
  return hash.matches(`${EXCHANGE}.${exchangeId}`, mac) ? exchangeId : undefined
}

export type StateCheck =
  | { linkId: string }
  | { problem: 'state_forged' | 'other_browser' }
  /** Authentic, but too old. */
  | { problem: 'state_expired'; linkId: string }

/** Checks a `state` from a callback. A missing cookie counts as another browser. */
export function checkState(
  hash: KeyedHash,
  state: string,
  browserId: string | undefined,
): StateCheck {
  const [linkId, expiresAtSeconds, mac, ...rest] = state.split('.')
  if (linkId === undefined || expiresAtSeconds === undefined || mac === undefined || rest.length) {
    return { problem: 'state_forged' }
  }
  const claim = `${linkId}.${expiresAtSeconds}`
  if (!hash.matches(`${claim}.${BUTTON}`, mac)) {
    if (browserId === undefined) return { problem: 'other_browser' }
    if (!hash.matches(`${claim}.${browserId}`, mac)) return { problem: 'state_forged' }
  }
  return Number(expiresAtSeconds) * 1000 > Date.now()
    ? { linkId }
    : { problem: 'state_expired', linkId }
}
