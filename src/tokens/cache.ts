import { LRUCache } from 'lru-cache'
import { type AccountKey, keyText } from '../accounts/account-key.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { HeldToken } from './held-token.ts'

/** An account is asked for by id, by domain and by subdomain: hardly by more than two of them. */
const NAMES_AN_ACCOUNT = 2
/** Remembered while reads of the database overlap without a pause. */
const MAX_CHANGES = 10_000

/** With its text, which a read would otherwise put together every time. */
interface NamedKey extends AccountKey {
  text: string
}

interface Fitting {
  keys: NamedKey[]
  askedAtMs: number
}

/** A fill under way: it shows which changes were heard of since it began. */
export interface Fill {
  askedAtMs: number
  epoch: number
}

/**
 * Tokens that are open and may be handed out without asking PostgreSQL: as long as the heartbeat proves that every
 * change would have been heard of. A change removes the account, and a fill that began before it is thrown away.
 */
export class TokenCache {
  readonly #heartbeat: Heartbeat
  readonly #isOff: boolean
  readonly #tokens: LRUCache<string, HeldToken>
  readonly #names: LRUCache<string, Fitting>
  /** Counts the changes heard of. */
  #epoch = 0
  /** The epoch of each account's last change, kept while fills are under way. */
  readonly #changed = new Map<string, number>()
  #namesChanged = 0
  #fills = 0
  /** Fills that began before this epoch are thrown away. */
  #oldestFill = 0
  /** What was asked for before this may have missed a change. */
  #heardSinceMs = 0

  /** Holds so many accounts at the most, those that were read last. */
  constructor(heartbeat: Heartbeat, maxAccounts: number) {
    this.#heartbeat = heartbeat
    this.#isOff = maxAccounts === 0
    const max = Math.max(1, maxAccounts)
    this.#tokens = new LRUCache({ max })
    this.#names = new LRUCache({ max: max * NAMES_AN_ACCOUNT })
  }

  /** The token, if nothing can have changed it since. */
  get(key: AccountKey & { text?: string }): HeldToken | undefined {
    const held = this.#tokens.get(key.text ?? keyText(key))
    if (held === undefined || !this.#heartbeat.isTrusted()) return undefined
    return held.askedAtMs >= this.#heardSinceMs ? held : undefined
  }

  /** The token as it was last known, for when PostgreSQL cannot be asked. */
  getStale(key: AccountKey): HeldToken | undefined {
    return this.#tokens.get(keyText(key))
  }

  /** The accounts that a name fits, if nothing can have changed that since. */
  fits(name: string): NamedKey[] | undefined {
    const fitting = this.#names.get(name)
    return fitting !== undefined && fitting.askedAtMs >= this.#heardSinceMs
      ? fitting.keys
      : undefined
  }

  /** The accounts that a name fitted when that was last known. */
  fitsStale(name: string): AccountKey[] | undefined {
    return this.#names.get(name)?.keys
  }

  beginFill(): Fill {
    this.#fills += 1
    return { askedAtMs: performance.now(), epoch: this.#epoch }
  }

  /** Ends a fill; `name` also stands for exactly these accounts. */
  endFill(fill: Fill, tokens: HeldToken[], name?: string): void {
    for (const held of this.#isOff ? [] : tokens) {
      const key = keyText(held)
      if ((this.#changed.get(key) ?? this.#oldestFill) > fill.epoch) continue
      const known = this.#tokens.get(key)
      if (known === undefined || known.generation <= held.generation) this.#tokens.set(key, held)
    }
    if (name !== undefined && this.#namesChanged <= fill.epoch) {
      const keys = tokens.map(({ integration, accountId }) => {
        return { integration, accountId, text: keyText({ integration, accountId }) }
      })
      this.#names.set(name, { keys, askedAtMs: fill.askedAtMs })
    }
    this.abandonFill()
  }

  abandonFill(): void {
    this.#fills -= 1
    if (this.#fills === 0) this.#changed.clear()
  }

  /** An account changed. An event that is older than what is held says nothing new. */
  onChange(key: AccountKey, generation: number): void {
    const text = keyText(key)
    const known = this.#tokens.peek(text)
    if (known !== undefined && known.generation > generation) return
    this.#epoch += 1
    if (this.#fills > 0) this.#rememberChange(text)
    this.#tokens.delete(text)
  }

  #rememberChange(key: string): void {
    if (this.#changed.size >= MAX_CHANGES) {
      // Rather than keep them all: every fill that began by now is thrown away.
      this.#changed.clear()
      this.#oldestFill = this.#epoch
    }
    this.#changed.set(key, this.#epoch)
  }

  /** An account came, went, or changed its domain: any name may fit others now. */
  onAccountsChange(): void {
    this.#epoch += 1
    this.#namesChanged = this.#epoch
    this.#names.clear()
  }

  /** There was a gap in what was heard: all is asked for again, and kept for when that is impossible. */
  onGap(): void {
    this.#heardSinceMs = performance.now()
  }
}
