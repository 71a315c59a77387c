import { timingSafeEqual } from 'node:crypto'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import { BrokerError } from '../errors.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { within } from '../within.ts'
import { type Caller, reachOf } from './caller.ts'
import { keyIdOf } from './client-key.ts'
import { type ClientRow, findLiveClients } from './store.ts'

/** A request waits no longer for PostgreSQL to say who is known; then it is not asked for a while. */
const RELOAD_LIMIT_MS = 1_000
const ASK_AGAIN_MS = 1_000
/** A revoked key is refused within a second, also where LISTEN died without a word; the rest is for asking. */
const HEARD_MS = 900
/** Keys and grants are believed for so long without a word from PostgreSQL. */
const BELIEVED_MS = 15 * 60_000
/** Far more than services have keys; one that makes a new header for every request gains nothing. */
const MAX_RECOGNISED = 10_000

interface KnownKey {
  digest: Buffer
  expiresAtMs: number
  caller: Caller
}

/**
 * Who comes in with which key, held in memory: naming a caller asks nobody. A change is heard of by notification, so
 * a revoked key is refused on every replica at once; where LISTEN is silent for a second, PostgreSQL is asked once a second, and where that is
 * silent too, what was known last is believed for 15 minutes.
 */
export class ClientDirectory {
  readonly #database: Database
  readonly #heartbeat: Heartbeat
  readonly #hash: KeyedHash
  readonly #log: Logger
  readonly #believedMs: number
  #keys: ReadonlyMap<string, KnownKey> = new Map()
  /** By `Authorization` header: keys that were proved by their hash since the clients were last read. */
  readonly #recognised = new Map<string, KnownKey>()
  /** Something changed that was not read yet. */
  #isBehind = true
  #lastProvenMs = Number.NEGATIVE_INFINITY
  #askAgainMs = Number.NEGATIVE_INFINITY
  #reading: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(
    database: Database,
    heartbeat: Heartbeat,
    hash: KeyedHash,
    log: Logger,
    believedMs = BELIEVED_MS,
  ) {
    this.#database = database
    this.#heartbeat = heartbeat
    this.#hash = hash
    this.#log = log
    this.#believedMs = believedMs
  }

  /**
   * The client that comes in with this very `Authorization` header, where that was proved before and nothing can have
   * changed since: hashing the key costs more than all the rest of a read. Undefined says nothing: `authenticate` decides.
   */
  recognise(header: string): Caller | undefined {
    const known = this.#recognised.get(header)
    if (known === undefined || this.#isBehind) return undefined
    const nowMs = this.#heartbeat.nowMsIfHeard(HEARD_MS)
    return nowMs !== undefined && nowMs < known.expiresAtMs ? known.caller : undefined
  }

  /** The client that this key belongs to and may come in with now. Throws `storage_unavailable`. */
  async authenticate(presented: string, header?: string): Promise<Caller | undefined> {
    const id = keyIdOf(presented)
    if (id === undefined) return undefined
    if (this.#isBehind || this.#heartbeat.ageMs() > HEARD_MS) await this.#catchUp()
    const known = this.#keys.get(id)
    if (known === undefined) return undefined
    const digest = Buffer.from(this.#hash.of(presented))
    if (digest.length !== known.digest.length || !timingSafeEqual(digest, known.digest)) {
      return undefined
    }
    if (this.#heartbeat.nowMs() >= known.expiresAtMs) return undefined
    if (header === undefined) return known.caller
    if (this.#recognised.size >= MAX_RECOGNISED) this.#recognised.clear()
    this.#recognised.set(header, known)
    return known.caller
  }

  /** Reads all clients. A change while it is being read is read once more, however many there are. Never rejects. */
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
      const clients = await findLiveClients(this.#database.db)
      this.#keys = new Map(clients.flatMap(keysOf))
      this.#recognised.clear()
      this.#lastProvenMs = askedAtMs
      if (this.#next === undefined) this.#isBehind = false
    } catch (err) {
      this.#log.warn({ err }, 'clients could not be read')
    } finally {
      this.#askAgainMs = performance.now() + ASK_AGAIN_MS
    }
  }

  async #catchUp(): Promise<void> {
    if (performance.now() >= this.#askAgainMs) {
      await within(this.reload(), RELOAD_LIMIT_MS, undefined)
      this.#askAgainMs = performance.now() + ASK_AGAIN_MS
    }
    if (performance.now() - this.#provenMs() < this.#believedMs) return
    const detail = 'Nobody can say which keys are valid: PostgreSQL does not answer.'
    throw new BrokerError('storage_unavailable', detail, { retryAfterSeconds: 1 })
  }

  /** Until when every change is known to have been heard of. */
  #provenMs(): number {
    if (this.#isBehind) return this.#lastProvenMs
    return Math.max(this.#lastProvenMs, performance.now() - this.#heartbeat.ageMs())
  }
}

function keysOf({ name, role, grants, keys }: ClientRow): [string, KnownKey][] {
  const caller: Caller = { name, role, reach: reachOf(grants) }
  return keys.map(({ id, hash, expiresAt }) => {
    const expiresAtMs = expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt)
    return [id, { digest: Buffer.from(hash), expiresAtMs, caller }]
  })
}
