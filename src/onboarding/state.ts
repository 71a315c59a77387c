import type { KeyedHash } from '../vault/keyed-hash.ts'

/** A person has this long to log in and consent; a code lives 20 minutes too. */
const STATE_LIFETIME_SECONDS = 20 * 60

/**
 * `state` of the authorization request (RFC 6749 §10.12): names the link, ends, and is bound to the browser that
 * opened the link. Nothing is stored for it, so that previews of links fill no table; the link itself works once.
 */
export function mintState(hash: KeyedHash, linkId: string, browserId: string): string {
  const expiresAtSeconds = Math.floor(Date.now() / 1000) + STATE_LIFETIME_SECONDS
  const claim = `${linkId}.${expiresAtSeconds}`
  return `${claim}.${hash.of(`${claim}.${browserId}`)}`
}

/** In place of a browser: no browser's id is so short. */
const BUTTON = 'button'
const EXCHANGE = 'exchange'

/**
 * The state of a button on somebody's page, which no browser opened through a link: whoever has it may use it, once, as with
 * the link itself.
 */
export function mintButtonState(hash: KeyedHash, linkId: string, expiresAt: Date): string {
  const claim = `${linkId}.${Math.floor(expiresAt.getTime() / 1000)}`
  return `${claim}.${hash.of(`${claim}.${BUTTON}`)}`
}

/** The state that the provider's server brings along with the code for an API key. */
export function mintExchangeState(hash: KeyedHash, exchangeId: string): string {
  const claim = `${EXCHANGE}.${exchangeId}`
  return `${claim}.${hash.of(claim)}`
}

/** The exchange that a state was made for; undefined: it is no such state. */
export function checkExchangeState(hash: KeyedHash, state: string): string | undefined {
  const [kind, exchangeId = '', mac = '', ...rest] = state.split('.')
  if (kind !== EXCHANGE || rest.length > 0) return undefined
  return hash.matches(`${EXCHANGE}.${exchangeId}`, mac) ? exchangeId : undefined
}

export type StateCheck =
  | { linkId: string }
  | { problem: 'state_forged' | 'state_expired' | 'other_browser' }

/** Judges a `state` that came back. A missing cookie and another browser's look the same from here. */
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
  return Number(expiresAtSeconds) * 1000 > Date.now() ? { linkId } : { problem: 'state_expired' }
}
