import { timingSafeEqual } from 'node:crypto'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import { isStorageFailure } from '../db/failures.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import { BrokerError } from '../lib/errors.ts'
import { FailureChange } from '../lib/failure-change.ts'
import { withTimeout } from '../lib/with-timeout.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { type Caller, reachOf } from './caller.ts'
import { keyIdOf } from './client-key.ts'
import { isAuthentic, keyHashOf } from './signature.ts'
import { type ClientRow, findLiveClients } from './store.ts'

/**
 * How long a request waits for the clients to be read. Afterwards they are not read for
 * ASK_AGAIN_MS.
 */
const RELOAD_LIMIT_MS = 1_000
/** Even with a READ_WAIT_MS of 0. */
const MIN_RELOAD_LIMIT_MS = 150
const ASK_AGAIN_MS = 1_000
/**
 * A revoked key must be refused within a second, even if LISTEN died unnoticed. The remaining 100
 * ms are for the query.
 */
const HEARD_MS = 900
/** How long keys and grants are trusted while PostgreSQL does not answer. */
const TRUSTED_MS = 15 * 60_000
/** Far more than there are keys. Bounds the memory of a client that varies its header. */
const MAX_RECOGNISED = 10_000

interface DirectoryDependencies {
  database: Database
  heartbeat: Heartbeat
  hash: KeyedHash
  log: Logger
  /** READ_WAIT_MS: a read waits for nothing longer than that. */
  reloadLimitMs?: number
  /** Tests shorten it. */
  trustedMs?: number
}

interface KnownKey {
  digest: Buffer
  expiresAtMs: number
  caller: Caller
}

/**
 * Knows the caller behind each key, from memory. Changes arrive by notification, so that every
 * replica refuses a revoked key at once. While LISTEN is silent for a second, the clients are read
 * once a second. While PostgreSQL does not answer either, the last known clients are trusted for 15
 * minutes.
 */
export class ClientDirectory {
  readonly #database: Database
  readonly #heartbeat: Heartbeat
  readonly #hash: KeyedHash
  readonly #log: Logger
  readonly #failure = new FailureChange()
  /** Clients whose rows do not fit their mac, and were reported. */
  readonly #altered = new Set<string>()
  readonly #reloadLimitMs: number
  readonly #trustedMs: number
  #keys: ReadonlyMap<string, KnownKey> = new Map()
  /** Keys whose hash was verified since the clients were last read, by `Authorization` header. */
  readonly #recognised = new Map<string, KnownKey>()
  /** A change was not read yet. */
  #isBehind = true
  #lastProvenMs = Number.NEGATIVE_INFINITY
  #askAgainMs = Number.NEGATIVE_INFINITY
  #reading: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor({ database, heartbeat, hash, log, ...limits }: DirectoryDependencies) {
    this.#database = database
    this.#heartbeat = heartbeat
    this.#hash = hash
    this.#log = log
    const { reloadLimitMs = RELOAD_LIMIT_MS, trustedMs = TRUSTED_MS } = limits
    this.#reloadLimitMs = Math.min(RELOAD_LIMIT_MS, Math.max(MIN_RELOAD_LIMIT_MS, reloadLimitMs))
    this.#trustedMs = trustedMs
  }

  /**
   * Returns the client of this exact `Authorization` header, if its key was verified before and
   * cannot have changed since. Hashing a key costs more than the rest of a read.
   *
   * @returns undefined when only `authenticate` can decide
   */
  recognise(header: string): Caller | undefined {
    const known = this.#recognised.get(header)
    if (known === undefined || this.#isBehind) return undefined
    const nowMs = this.#heartbeat.nowMsIfHeard(HEARD_MS)
    return nowMs !== undefined && nowMs < known.expiresAtMs ? known.caller : undefined
  }

  /**
   * Verifies a key. Throws `storage_unavailable`.
   *
   * @returns undefined when the key is not valid now
   */
  async authenticate(presented: string, header?: string): Promise<Caller | undefined> {
    const id = keyIdOf(presented)
    if (id === undefined) return undefined
    if (this.#isBehind || this.#heartbeat.ageMs() > HEARD_MS) await this.#catchUp()
    const known = this.#keys.get(id)
    if (known === undefined) return undefined
    const digest = Buffer.from(keyHashOf(this.#hash, known.caller.name, presented))
    if (digest.length !== known.digest.length || !timingSafeEqual(digest, known.digest)) {
      return undefined
    }
    if (this.#heartbeat.nowMs() >= known.expiresAtMs) return undefined
    if (header === undefined) return known.caller
    if (this.#recognised.size >= MAX_RECOGNISED) this.#recognised.clear()
    this.#recognised.set(header, known)
    return known.caller
  }

  /**
   * Returns the client that has this key. The caller must have verified the key before. Throws
   * `storage_unavailable`.
   *
   * @returns undefined when the key is not valid now
   */
  async findByKey(keyId: string): Promise<Caller | undefined> {
    if (this.#isBehind || this.#heartbeat.ageMs() > HEARD_MS) await this.#catchUp()
    const known = this.#keys.get(keyId)
    return known !== undefined && this.#heartbeat.nowMs() < known.expiresAtMs
      ? known.caller
      : undefined
  }

  /** Returns the names of the clients that have a key. */
  names(): string[] {
    return [...new Set(Array.from(this.#keys.values(), ({ caller }) => caller.name))]
  }

  /** Reads all clients. Changes that arrive during a read cause one further read. Never rejects. */
  reload(): Promise<void> {
    this.#lastProvenMs = this.#provenMs()
    this.#isBehind = true
    this.#next ??= this.#reading.then(() => {
      this.#next = undefined
      this.#reading = this.#read()
      return this.#reading
    })
    return this.#next
  }

  async #read(): Promise<void> {
    const askedAtMs = performance.now()
    try {
      const clients = await findLiveClients(this.#database.reads)
      this.#keys = new Map(clients.filter((each) => this.#isAuthentic(each)).flatMap(keysOf))
      this.#recognised.clear()
      this.#failure.hasEnded()
      this.#lastProvenMs = askedAtMs
      if (this.#next === undefined) this.#isBehind = false
    } catch (err) {
      // The storage logs once that it is lost; this is repeated every second.
      const level = !isStorageFailure(err) && this.#failure.isNew(err) ? 'warn' : 'debug'
      this.#log[level]({ err }, 'clients could not be read')
    } finally {
      this.#askAgainMs = performance.now() + ASK_AGAIN_MS
    }
  }

  /** Logs once a client that was changed in the table by somebody else. Its keys are refused. */
  #isAuthentic(client: ClientRow): boolean {
    if (isAuthentic(this.#hash, client)) {
      this.#altered.delete(client.name)
      return true
    }
    if (this.#altered.has(client.name)) return false
    this.#altered.add(client.name)
    this.#log.error({ client: client.name }, 'client altered in the database, its keys are refused')
    return false
  }

  async #catchUp(): Promise<void> {
    if (performance.now() >= this.#askAgainMs) {
      await withTimeout(this.reload(), this.#reloadLimitMs, undefined)
      this.#askAgainMs = performance.now() + ASK_AGAIN_MS
    }
    if (performance.now() - this.#provenMs() < this.#trustedMs) return
    const detail = 'PostgreSQL does not answer, so it is unknown which keys are valid.'
    throw new BrokerError('storage_unavailable', detail, { retryAfterSeconds: 1 })
  }

  /** Returns the time up to which every change is known. */
  #provenMs(): number {
    if (this.#isBehind) return this.#lastProvenMs
    return Math.max(this.#lastProvenMs, performance.now() - this.#heartbeat.ageMs())
  }
}

function keysOf({ name, role, grants, keys }: ClientRow): [string, KnownKey][] {
  const client = { name, role, reach: reachOf(grants) }
  return keys.map(({ id, hash, expiresAt }) => {
    const caller: Caller = { ...client, keyId: id }
    const expiresAtMs = expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt)
    return [id, { digest: Buffer.from(hash), expiresAtMs, caller }]
  })
}
