import { LRUCache } from 'lru-cache'
import { BrokerError } from '../errors.ts'

/** A person installs one integration at a time; the provider's servers install for many, and not so many a minute. */
const MAX_A_MINUTE = 60
const WINDOW_MS = 60_000
const MAX_ADDRESSES = 20_000

/** Callbacks that nothing proves, by address: each may cost a row in the inbox and a call to the provider. */
export class UnprovenLimit {
  readonly #counts = new LRUCache<string, { count: number }>({ max: MAX_ADDRESSES, ttl: WINDOW_MS })

  /** Throws `too_many_requests`. */
  count(address: string): void {
    const known = this.#counts.get(address) ?? { count: 0 }
    if (known.count === 0) this.#counts.set(address, known)
    known.count += 1
    if (known.count <= MAX_A_MINUTE) return
    throw new BrokerError('too_many_requests', 'Too many callbacks from this address.', {
      retryAfterSeconds: Math.ceil(this.#counts.getRemainingTTL(address) / 1000),
    })
  }
}
