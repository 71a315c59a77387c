import { LRUCache } from 'lru-cache'
import type { Heartbeat } from '../db/heartbeat.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import type { CachedToken } from './cached-token.ts'

/** Services use few of an account's three names: id, domain and subdomain. */
const NAMES_PER_ACCOUNT = 2
/** Changes to remember while fills overlap without a pause. */
const MAX_CHANGES = 10_000

/** Carries its text, so that a read does not build it each time. */
interface NamedKey extends AccountKey {
  text: string
}

interface NameEntry {
  keys: NamedKey[]
  askedAtMs: number
}

/** A fill in progress. It shows which changes arrived since it began. */
interface Fill {
  askedAtMs: number
  epoch: number
}

/**
 * Tokens that may be handed out without asking PostgreSQL, as long as the heartbeat proves that no
 * change was missed. A change removes the account. A fill that began before the change is
 * discarded.
 */
export class TokenCache {
  readonly #heartbeat: Heartbeat
  readonly #isOff: boolean
  readonly #tokens: LRUCache<string, CachedToken>
  readonly #names: LRUCache<string, NameEntry>
  /** Number of changes that arrived. */
  #epoch = 0
  /** Epoch of each account's last change, kept while fills are in progress. */
  readonly #changed = new Map<string, number>()
  #namesChanged = 0
  #fills = 0
  /** Fills that began before this epoch are discarded. */
  #oldestFill = 0
  /** Entries that were queried before this time may have missed a change. */
  #gapEndedMs = 0

  /** Keeps at most `maxAccounts` tokens, the most recently read ones. 0 turns the cache off. */
  constructor(heartbeat: Heartbeat, maxAccounts: number) {
    this.#heartbeat = heartbeat
    this.#isOff = maxAccounts === 0
    const max = Math.max(1, maxAccounts)
    this.#tokens = new LRUCache({ max })
    this.#names = new LRUCache({ max: max * NAMES_PER_ACCOUNT })
  }

  /** The number of tokens in memory. */
  get size(): number {
    return this.#tokens.size
  }

  /** Returns the token unless it may have changed since it was queried. */
  get(key: AccountKey & { text?: string }): CachedToken | undefined {
    const token = this.#tokens.get(key.text ?? keyText(key))
    if (token === undefined || !this.#heartbeat.isTrusted()) return undefined
    return token.askedAtMs >= this.#gapEndedMs ? token : undefined
  }

  /** Returns the last known token, for when PostgreSQL does not answer. */
  getStale(key: AccountKey): CachedToken | undefined {
    return this.#tokens.get(keyText(key))
  }

  /** Returns the accounts that a name fits, unless that may have changed. */
  fits(name: string): NamedKey[] | undefined {
    const entry = this.#names.get(name)
    return entry !== undefined && entry.askedAtMs >= this.#gapEndedMs ? entry.keys : undefined
  }

  /** Returns the accounts that a name last fitted, for when PostgreSQL does not answer. */
  fitsStale(name: string): AccountKey[] | undefined {
    return this.#names.get(name)?.keys
  }

  beginFill(): Fill {
    this.#fills += 1
    return { askedAtMs: performance.now(), epoch: this.#epoch }
  }

  /** Ends a fill. `name` then stands for exactly these accounts. */
  endFill(fill: Fill, tokens: CachedToken[], name?: string): void {
    for (const token of this.#isOff ? [] : tokens) {
      const key = token.text
      if ((this.#changed.get(key) ?? this.#oldestFill) > fill.epoch) continue
      const cached = this.#tokens.get(key)
      if (cached === undefined || cached.generation <= token.generation) {
        this.#tokens.set(key, token)
      }
    }
    if (name !== undefined && this.#namesChanged <= fill.epoch) {
      const keys = tokens.map(({ integration, accountId, text }) => {
        return { integration, accountId, text }
      })
      this.#names.set(name, { keys, askedAtMs: fill.askedAtMs })
    }
    this.abandonFill()
  }

  abandonFill(): void {
    this.#fills -= 1
    if (this.#fills === 0) this.#changed.clear()
  }

  /** Removes an account that changed. Ignores an event that is older than the cached token. */
  onChange(key: AccountKey, generation: number): void {
    const text = keyText(key)
    const cached = this.#tokens.peek(text)
    if (cached !== undefined && cached.generation > generation) return
    this.#epoch += 1
    if (this.#fills > 0) this.#rememberChange(text)
    this.#tokens.delete(text)
  }

  #rememberChange(key: string): void {
    if (this.#changed.size >= MAX_CHANGES) {
      // Instead of remembering more changes, discard every fill that has begun by now.
      this.#changed.clear()
      this.#oldestFill = this.#epoch
    }
    this.#changed.set(key, this.#epoch)
  }

  /** Forgets all names, because an account was added, was removed, or changed its domain. */
  onAccountsChange(): void {
    this.#epoch += 1
    this.#namesChanged = this.#epoch
    this.#names.clear()
  }

  /**
   * Notifications may have been missed: every entry is queried again, and stays as the last known
   * one.
   */
  onGap(): void {
    this.#gapEndedMs = performance.now()
  }
}
