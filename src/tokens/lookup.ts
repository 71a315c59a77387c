import { type Caller, mayMiss, mayRead } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { failureOf, isStorageFailure } from '../db/failures.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import { BrokerError } from '../lib/errors.ts'
import { withTimeout } from '../lib/with-timeout.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { TokenCache } from './cache.ts'
import { CachedToken } from './cached-token.ts'
import { type TokenRow, TokenRows } from './store.ts'

/**
 * Timeout of a query that readers share. After one timeout PostgreSQL counts as down for
 * DOWN_FOR_MS, so that other readers fail fast. A reader whose own deadline is earlier stops
 * waiting by then.
 */
export const QUERY_LIMIT_MS = 1_000
const DOWN_FOR_MS = 1_000

interface FoundToken {
  token: CachedToken
  /** The token is the last known one, because PostgreSQL does not answer. */
  isStale: boolean
}

interface LookupDependencies {
  database: Database
  keyRing: KeyRing
  cache: TokenCache
  /** Tokens with less life left are not handed out (MIN_REST_MS). */
  minRestMs: number
  knowsIntegration: (name: string) => boolean
}

/**
 * Finds an account's token in the cache, or in PostgreSQL with one select that concurrent callers
 * share.
 */
export class TokenLookup {
  readonly #database: Database
  readonly #rows: TokenRows
  readonly #keyRing: KeyRing
  readonly #cache: TokenCache
  readonly #minRestMs: number
  readonly #queries = new Map<string, Promise<CachedToken[]>>()
  readonly #nextQueries = new Map<string, Promise<CachedToken[]>>()
  readonly #knowsIntegration: (name: string) => boolean
  #downUntilMs = 0

  constructor({ database, keyRing, cache, minRestMs, knowsIntegration }: LookupDependencies) {
    this.#database = database
    this.#rows = new TokenRows(database)
    this.#keyRing = keyRing
    this.#cache = cache
    this.#minRestMs = minRestMs
    this.#knowsIntegration = knowsIntegration
  }

  /**
   * Finds a token by account id, domain or subdomain, among the accounts that the caller may read
   * (or that `may` allows).
   * Throws `forbidden`, `account_not_found`, `integration_not_found`, `ambiguous_account`,
   * `storage_unavailable`.
   */
  async byName(
    caller: Caller,
    name: string,
    integration: string | undefined,
    may = mayRead,
    limitMs = QUERY_LIMIT_MS,
  ): Promise<FoundToken> {
    const isWanted = (key: AccountKey) =>
      may(caller, key) && (integration === undefined || key.integration === integration)
    const only = onlyOne(this.#cache.fits(name)?.filter(isWanted))
    const cached = only && this.#cache.get(only)
    if (cached !== undefined) return { token: cached, isStale: false }
    try {
      const query = this.#query(name, () => this.#rows.byName(name), name)
      const found = await inTime(query, limitMs)
      const wanted = found.filter(isWanted)
      const mayKnow = mayMiss(caller, integration, may)
      if (wanted.length === 0 && mayKnow && integration !== undefined) {
        this.#requireIntegration(integration)
      }
      return { token: pickOne(wanted, name, mayKnow), isStale: false }
    } catch (error) {
      if (!isUnavailable(error)) throw error
      const lastKnown = onlyOne(this.#cache.fitsStale(name)?.filter(isWanted))
      const stale = lastKnown && this.#cache.getStale(lastKnown)
      if (stale === undefined) throw error
      return { token: stale, isStale: true }
    }
  }

  #requireIntegration(name: string): void {
    if (this.#knowsIntegration(name)) return
    throw new BrokerError('integration_not_found', `There is no integration "${name}".`, {
      members: { remedy: 'Correct ?integration=; GET /integrations lists the names.' },
    })
  }

  /**
   * Returns the token as it is in PostgreSQL when this is called, or later. A select in progress
   * may have read the row before a commit that the caller knows of. Such callers share the next
   * select instead.
   *
   * @returns undefined when the account is gone
   */
  async fresh(key: AccountKey, limitMs = QUERY_LIMIT_MS): Promise<CachedToken | undefined> {
    const id = `=${keyText(key)}`
    const select = () => this.#rows.byKey(key)
    const running = this.#queries.get(id)
    let query = running === undefined ? this.#query(id, select) : this.#nextQueries.get(id)
    if (query === undefined) {
      const begin = () => {
        this.#nextQueries.delete(id)
        return this.#query(id, select)
      }
      query = running?.then(begin, begin) ?? begin()
      this.#nextQueries.set(id, query)
    }
    const [token] = await inTime(query, limitMs)
    return token
  }

  #query(id: string, select: () => Promise<TokenRow[]>, name?: string): Promise<CachedToken[]> {
    let query = this.#queries.get(id)
    if (query === undefined) {
      query = this.#fill(select, name).finally(() => this.#queries.delete(id))
      this.#queries.set(id, query)
    }
    return query
  }

  async #fill(select: () => Promise<TokenRow[]>, name?: string): Promise<CachedToken[]> {
    const { storage } = this.#database
    const isDown = storage.state === 'unreachable' || performance.now() < this.#downUntilMs
    if (isDown) throw storageDown()
    const fill = this.#cache.beginFill()
    let isEnded = false
    try {
      const rows = await this.#limited(select())
      const tokens = rows.map((row) => this.#tokenOf(row, fill.askedAtMs))
      isEnded = true
      this.#cache.endFill(fill, tokens, name)
      return tokens
    } finally {
      if (!isEnded) this.#cache.abandonFill()
    }
  }

  #tokenOf(row: TokenRow, askedAtMs: number): CachedToken {
    return new CachedToken(row, this.#keyRing, askedAtMs, this.#minRestMs)
  }

  async #limited<T extends object>(query: Promise<T>): Promise<T> {
    let cause: unknown
    try {
      const rows = await withTimeout(query, QUERY_LIMIT_MS, undefined)
      if (rows !== undefined) return rows
    } catch (error) {
      if (!isUnavailable(error)) throw error
      // A server that is only busy is not down.
      if (failureOf(error) === 'busy') throw storageDown(error)
      cause = error
    }
    this.#downUntilMs = performance.now() + DOWN_FOR_MS
    throw storageDown(cause)
  }
}

/** Resolves like `query`, or throws `storage_unavailable` when that takes longer than `limitMs`. */
async function inTime<T extends object>(query: Promise<T>, limitMs: number): Promise<T> {
  // A query that is shared has this limit itself.
  if (limitMs >= QUERY_LIMIT_MS) return await query
  const found = await withTimeout(query, limitMs, undefined)
  if (found === undefined) throw storageDown()
  return found
}

/** Returns whether an error means that the storage could not answer. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof BrokerError) return error.code === 'storage_unavailable'
  return isStorageFailure(error)
}

function onlyOne<K extends AccountKey>(keys: K[] | undefined): K | undefined {
  return keys?.length === 1 ? keys[0] : undefined
}

function pickOne(found: CachedToken[], name: string, mayKnow: boolean): CachedToken {
  const [token] = found
  if (token === undefined) {
    // A caller without access to all accounts must not learn which ones exist.
    if (!mayKnow) throw new BrokerError('forbidden', `No grant covers "${name}".`)
    throw new BrokerError('account_not_found', `No account is known as "${name}".`)
  }
  if (found.length > 1) {
    const integrations = found.map(({ integration }) => integration)
    throw new BrokerError('ambiguous_account', `"${name}" fits ${found.length} accounts.`, {
      members: { integrations },
    })
  }
  return token
}

function storageDown(cause?: unknown): BrokerError {
  return new BrokerError('storage_unavailable', 'PostgreSQL does not answer.', {
    retryAfterSeconds: 1,
    cause,
  })
}
