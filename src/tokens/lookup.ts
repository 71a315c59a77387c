import type { AccountKey } from '../accounts/account-key.ts'
import { keyText } from '../accounts/account-key.ts'
import { type Caller, mayMiss, mayRead } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { isStorageDown } from '../db/failures.ts'
import { BrokerError } from '../errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { within } from '../within.ts'
import type { TokenCache } from './cache.ts'
import { HeldToken } from './held-token.ts'
import { findByName, findToken, type TokenRow } from './store.ts'

/** A reader waits no longer for PostgreSQL; afterwards it counts as down for a while, so that not everybody waits. */
const QUERY_LIMIT_MS = 1_000
const DOWN_FOR_MS = 1_000

/** A token, and whether it is only what was known before PostgreSQL fell silent. */
export interface Found {
  held: HeldToken
  isStale: boolean
}

/** Finds an account's token: in the cache, or in PostgreSQL with one select that concurrent callers share. */
export class TokenLookup {
  readonly #database: Database
  readonly #keyRing: KeyRing
  readonly #cache: TokenCache
  readonly #queries = new Map<string, Promise<HeldToken[]>>()
  readonly #nextQueries = new Map<string, Promise<HeldToken[]>>()
  #downUntilMs = 0

  constructor(database: Database, keyRing: KeyRing, cache: TokenCache) {
    this.#database = database
    this.#keyRing = keyRing
    this.#cache = cache
  }

  /** What is in memory and nothing can have changed since, without a word to anybody. Undefined says nothing: `byName` decides. */
  inMemory(caller: Caller, name: string, integration: string | undefined): HeldToken | undefined {
    const key = onlyOne(this.#cache.fits(name))
    if (key === undefined || !mayRead(caller, key)) return undefined
    if (integration !== undefined && key.integration !== integration) return undefined
    return this.#cache.get(key)
  }

  /**
   * By account id, domain or subdomain, judged among what the caller may read (or `may` otherwise).
   * Throws `forbidden`, `account_not_found`, `ambiguous_account`, `storage_unavailable`, `key_missing`.
   */
  async byName(
    caller: Caller,
    name: string,
    integration: string | undefined,
    may = mayRead,
  ): Promise<Found> {
    const wanted = (key: AccountKey) =>
      may(caller, key) && (integration === undefined || key.integration === integration)
    const only = onlyOne(this.#cache.fits(name)?.filter(wanted))
    const held = only && this.#cache.get(only)
    if (held !== undefined) return { held, isStale: false }
    try {
      const found = await this.#query(name, () => findByName(this.#database.db, name), name)
      return {
        held: pickOne(found.filter(wanted), name, mayMiss(caller, integration, may)),
        isStale: false,
      }
    } catch (error) {
      if (!isUnavailable(error)) throw error
      const lastKnown = onlyOne(this.#cache.fitsStale(name)?.filter(wanted))
      const stale = lastKnown && this.#cache.getStale(lastKnown)
      if (stale === undefined) throw error
      return { held: stale, isStale: true }
    }
  }

  /**
   * As it is in PostgreSQL from this call on, whatever the cache holds. Undefined when the account is gone. A select that is
   * under way may have read the row before what the caller knows of, such as a commit: the next one is shared instead.
   */
  async fresh(key: AccountKey): Promise<HeldToken | undefined> {
    const id = `=${keyText(key)}`
    const select = async () => {
      const row = await findToken(this.#database.db, key)
      return row === undefined ? [] : [row]
    }
    const underWay = this.#queries.get(id)
    let query = underWay === undefined ? this.#query(id, select) : this.#nextQueries.get(id)
    if (query === undefined) {
      const begin = () => {
        this.#nextQueries.delete(id)
        return this.#query(id, select)
      }
      query = underWay?.then(begin, begin) ?? begin()
      this.#nextQueries.set(id, query)
    }
    const [held] = await query
    return held
  }

  #query(id: string, select: () => Promise<TokenRow[]>, name?: string): Promise<HeldToken[]> {
    let query = this.#queries.get(id)
    if (query === undefined) {
      query = this.#fill(select, name).finally(() => this.#queries.delete(id))
      this.#queries.set(id, query)
    }
    return query
  }

  async #fill(select: () => Promise<TokenRow[]>, name?: string): Promise<HeldToken[]> {
    if (performance.now() < this.#downUntilMs) throw storageDown()
    const fill = this.#cache.beginFill()
    let isEnded = false
    try {
      const rows = await this.#limited(select())
      const tokens = rows.map((row) => new HeldToken(row, this.#keyRing, fill.askedAtMs))
      isEnded = true
      this.#cache.endFill(fill, tokens, name)
      return tokens
    } finally {
      if (!isEnded) this.#cache.abandonFill()
    }
  }

  async #limited<T extends object>(query: Promise<T>): Promise<T> {
    let cause: unknown
    try {
      const rows = await within(query, QUERY_LIMIT_MS, undefined)
      if (rows !== undefined) return rows
    } catch (error) {
      if (!isUnavailable(error)) throw error
      cause = error
    }
    this.#downUntilMs = performance.now() + DOWN_FOR_MS
    throw storageDown(cause)
  }
}

function onlyOne<K extends AccountKey>(keys: K[] | undefined): K | undefined {
  return keys?.length === 1 ? keys[0] : undefined
}

function pickOne(fitting: HeldToken[], name: string, mayKnow: boolean): HeldToken {
  const [held] = fitting
  if (held === undefined) {
    // Who may not see all learns nothing of what there is.
    if (!mayKnow) throw new BrokerError('forbidden', `No grant covers "${name}".`)
    throw new BrokerError('account_not_found', `No account is known as "${name}".`)
  }
  if (fitting.length > 1) {
    const integrations = fitting.map(({ integration }) => integration)
    throw new BrokerError('ambiguous_account', `"${name}" fits ${fitting.length} accounts.`, {
      members: { integrations },
    })
  }
  return held
}

function storageDown(cause?: unknown): BrokerError {
  return new BrokerError('storage_unavailable', 'PostgreSQL does not answer.', {
    retryAfterSeconds: 1,
    cause,
  })
}

/** Whether PostgreSQL gave no answer. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof BrokerError) return error.code === 'storage_unavailable'
  return isStorageDown(error)
}
