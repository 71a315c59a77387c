import type { Heartbeat } from '../db/heartbeat.ts'
import { BrokerError } from '../lib/errors.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { CallbackPlaces, PlaceKind } from './callback-places.ts'
import type { CallbackSpool, SpooledCallback } from './callback-spool.ts'
import type { ExpectedInstalls } from './expected-installs.ts'
import type { CallbackQuery } from './validate-callback.ts'

interface CallbackKeeperDependencies {
  spool: CallbackSpool
  places: CallbackPlaces
  expectedInstalls: ExpectedInstalls
  heartbeat: Heartbeat
  /** Called when a callback finds no place on disk. */
  onTurnedAway: (kind: PlaceKind) => void
}

/** Keeps calls of the provider's server on disk until the database can take them. */
export class CallbackKeeper {
  readonly #with: CallbackKeeperDependencies
  /** The codes of the callbacks that have places, by the name of the file. */
  readonly #codes = new Map<string, string>()

  constructor(dependencies: CallbackKeeperDependencies) {
    this.#with = dependencies
  }

  /**
   * Returns once the callback is on disk. It is validated when the database is available. `kind`
   * decides which places it may take; by default the installations that are expected have their
   * own. Throws `storage_unavailable`.
   */
  keep(path: string, query: CallbackQuery, network: string, kind?: PlaceKind): string {
    const { spool, places, expectedInstalls, heartbeat, onTurnedAway } = this.#with
    const isExpected = expectedInstalls.has(path, query)
    const place = kind ?? (isExpected ? 'expected' : 'unexpected')
    const code = query.code ?? ''
    if (!places.take(code, place, place === 'proven' ? (query.state ?? '') : network)) {
      onTurnedAway(place)
      const detail = 'Too many callbacks are waiting on disk.'
      throw new BrokerError('storage_unavailable', detail, { retryAfterSeconds: 5 })
    }
    try {
      const name = spool.append({ path, query, atMs: heartbeat.nowMs() })
      failpoint('callback_spooled')
      this.#codes.set(name, code)
      return name
    } catch (error) {
      places.free(code)
      onTurnedAway(place)
      throw error
    }
  }

  /** Like `keep` for a call that a limit refuses. Does nothing when there is no place. */
  keepIfThereIsPlace(path: string, query: CallbackQuery, network: string): void {
    try {
      this.keep(path, query, network, 'unexpected')
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
    }
  }

  entries(): AsyncGenerator<[name: string, callback: SpooledCallback]> {
    return this.#with.spool.entries()
  }

  async forget(name: string): Promise<void> {
    await this.#with.spool.forget(name)
    const code = this.#codes.get(name)
    if (code === undefined) return
    this.#codes.delete(name)
    this.#with.places.free(code)
  }

  /** Remembers which installations are expected, for the next start. */
  rememberExpected(): void {
    this.#with.expectedInstalls.remember()
  }
}
