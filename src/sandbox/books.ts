import type { Credential } from './credentials.ts'

export type Endpoint = 'token' | 'probe' | 'api'

/**
 * Classifies a presentation by the rule that a refresh token works once. `again`: an earlier send
 * may have spent the token, and no probe has reported it alive since.
 */
export type Presentation = 'first' | 'after_refusal' | 'after_probe' | 'again'

export interface BookEntry {
  seq: number
  /** Time at which the outcome was known. */
  at: number
  arrivedAt: number
  kind: 'code' | 'refresh_token' | 'access_token' | 'none'
  endpoint: Endpoint
  tokenId: string | undefined
  accountId: number | undefined
  clientId: string | undefined
  /** Undefined at the other endpoints, and for garbage. */
  presentation: Presentation | undefined
  /** `pending` until the outcome is known. */
  outcome: string
  fault: string | undefined
  /** This request spent the token. */
  spent: boolean
  /** The whole response was passed to the network unchanged. */
  answered: boolean
  newTokenId: string | undefined
}

export interface Counters {
  refreshes: number
  codeExchanges: number
  reusedRefreshTokens: number
  reusedCodes: number
  /** Refresh tokens presented `again`, by the order of arrival and not of processing. */
  presentedAgain: number
  tokenCalls: number
  probes: number
  apiCalls: number
  /** Calls with a dead token, which got 401. */
  apiCallsRefused: number
  limited: number
  faultsFired: number
}

/**
 * Records every token presented, in the order of arrival and up to `size` entries, and counters.
 */
export function createBooks(size: number, clock: () => number) {
  const ring: BookEntry[] = []
  const totals = createCounters()
  const perAccount = new Map<string, Counters>()
  let lastSeq = 0

  function open(entry: Pick<BookEntry, 'kind' | 'endpoint' | 'arrivedAt'>): BookEntry {
    lastSeq += 1
    const made: BookEntry = {
      seq: lastSeq,
      at: clock(),
      tokenId: undefined,
      accountId: undefined,
      clientId: undefined,
      presentation: undefined,
      outcome: 'pending',
      fault: undefined,
      spent: false,
      answered: false,
      newTokenId: undefined,
      ...entry,
    }
    ring[lastSeq % size] = made
    return made
  }

  /** Returns the entries after `since` that are not dropped yet, oldest first. */
  function list(since = 0, limit = Number.POSITIVE_INFINITY, accountId?: number): BookEntry[] {
    const found: BookEntry[] = []
    const oldest = Math.max(since + 1, lastSeq - size + 1, 1)
    for (let seq = oldest; seq <= lastSeq && found.length < limit; seq += 1) {
      const entry = ring[seq % size]
      if (entry === undefined) continue
      if (accountId === undefined || entry.accountId === accountId) found.push(entry)
    }
    return found
  }

  /** Adds one to a counter, and to the account's own counter. */
  function count(name: keyof Counters, account?: string): void {
    totals[name] += 1
    if (account !== undefined) countersOf(account)[name] += 1
  }

  function countersOf(account: string): Counters {
    const counters = perAccount.get(account) ?? createCounters()
    perAccount.set(account, counters)
    return counters
  }

  function clear(): void {
    ring.length = 0
    perAccount.clear()
    Object.assign(totals, createCounters())
  }

  return { open, list, count, countersOf, clear, totals, lastSeq: () => lastSeq }
}

/**
 * Records the arrival of a code or refresh token at the token endpoint, under its entry in the
 * books. Must be called at the arrival.
 */
export function notePresented(credential: Credential, { seq }: BookEntry): Presentation {
  const presentation = classify(credential)
  // Doubts that a probe has cleared stay cleared when this send is proved unspent as well.
  if (presentation === 'after_probe') credential.doubtfulSends.clear()
  credential.sends += 1
  credential.doubtfulSends.add(seq)
  credential.saidAlive = false
  return presentation
}

function classify(credential: Credential): Presentation {
  if (credential.sends === 0) return 'first'
  if (credential.doubtfulSends.size === 0) return 'after_refusal'
  return credential.saidAlive ? 'after_probe' : 'again'
}

function createCounters(): Counters {
  return {
    refreshes: 0,
    codeExchanges: 0,
    reusedRefreshTokens: 0,
    reusedCodes: 0,
    presentedAgain: 0,
    tokenCalls: 0,
    probes: 0,
    apiCalls: 0,
    apiCallsRefused: 0,
    limited: 0,
    faultsFired: 0,
  }
}
