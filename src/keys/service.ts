import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import { findUsedKeys, recordUsedKeys } from '../db/deployment.ts'
import type { RedisClient } from '../db/redis.ts'
import type { Spool } from '../journal/spool.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { findEscrowKeys, findNewestChange, isEscrowBehind } from './escrow-keys.ts'
import { add, countByKey, type Resealed, resealDatabase } from './reseal.ts'
import { countSpooled, resealCopies, resealSpool } from './reseal-journal.ts'

const INTERVAL_MS = 10 * 60_000

interface KeysDependencies {
  database: Database
  redis: RedisClient | null
  spool: Spool
  keyRing: KeyRing
  deploymentId: string
  log: Logger
}

/** The number of values of a key in each place. */
export type KeyUse = ReadonlyMap<string, number>

/**
 * Key rotation. The operator adds a new key second on every replica, then moves it to the front.
 * From then on everything is re-sealed under it here, in the background. The log says when an old
 * key is no longer in use.
 */
export class Keys implements PeriodicWork {
  readonly name = 'reseal'
  readonly intervalMs = INTERVAL_MS
  readonly #with: KeysDependencies
  #missing: string[] = []
  #inUse: ReadonlySet<string>
  /** Keys whose retirement was logged. */
  #retired = new Set<string>()
  /** The escrow holds images of what was re-sealed when it has this change. */
  #escrowChange = 0

  constructor(dependencies: KeysDependencies) {
    this.#with = dependencies
    this.#inUse = new Set(dependencies.keyRing.keyIds)
  }

  /** The keys that values are sealed under and that ENCRYPTION_KEYS lacks, as of the last run. */
  get missing(): readonly string[] {
    return this.#missing
  }

  /** The keys of ENCRYPTION_KEYS. */
  get loaded(): readonly string[] {
    return this.#with.keyRing.keyIds
  }

  /**
   * The keys that something is sealed under, as of the last run. The first key always counts, and
   * until the first run every loaded key does.
   */
  get inUseIds(): ReadonlySet<string> {
    return this.#inUse
  }

  /** Re-seals everything that can be opened under the first key, place by place. */
  async *reseal(): AsyncGenerator<Resealed> {
    const { database, redis, spool, keyRing, deploymentId } = this.#with
    yield* resealDatabase(database.db, keyRing)
    yield await resealSpool(spool, keyRing)
    if (redis !== null) yield await resealCopies(redis, deploymentId, keyRing)
  }

  /**
   * Returns each key that something is sealed under, and where: in the database, in Redis, and on
   * this disk. `exceptKey` as for `countByKey`.
   */
  async inUse(exceptKey?: string): Promise<ReadonlyMap<string, KeyUse>> {
    const { database, redis, spool, deploymentId } = this.#with
    const counts = await countByKey(database.db, exceptKey)
    await countSpooled(counts, spool, redis, deploymentId)
    for (const id of await this.#findEscrowKeys()) add(counts, id, 'escrow', 1)
    return counts
  }

  /** Until the escrow has the rows that were re-sealed, it needs the keys that they had before. */
  async #findEscrowKeys(): Promise<Set<string>> {
    const { keyRing } = this.#with
    const { db } = this.#with.database
    const keys = new Set(await findEscrowKeys(db))
    if (await isEscrowBehind(db, this.#escrowChange)) {
      const used = await findUsedKeys(db)
      for (const id of keyRing.keyIds) if (used.has(id)) keys.add(id)
    }
    return keys
  }

  /** Re-seals what is sealed under an old key, then checks which keys are in use. */
  async run(): Promise<void> {
    const { database, keyRing, log } = this.#with
    // Before re-sealing: afterwards an old key would never have been seen in use.
    await recordUsedKeys(database.db, [...(await this.inUse(keyRing.sealsWith)).keys()])
    if (keyRing.keyIds.length > 1) {
      for await (const done of this.reseal()) {
        if (done.resealed === 0) continue
        log.info({ ...done, key: keyRing.sealsWith }, 'values resealed')
        this.#escrowChange = await findNewestChange(database.db)
      }
    }
    const inUse = await this.inUse(keyRing.sealsWith)
    const used = await recordUsedKeys(database.db, [...inUse.keys()])
    this.#inUse = new Set([keyRing.sealsWith, ...inUse.keys()])
    this.#reportMissing(inUse)
    this.#reportRetired(inUse, used)
  }

  #reportMissing(inUse: ReadonlyMap<string, KeyUse>): void {
    const { keyRing, log } = this.#with
    const before = this.#missing
    this.#missing = [...inUse.keys()].filter((id) => !keyRing.keyIds.includes(id))
    for (const key of this.#missing) {
      if (before.includes(key)) continue
      const places = Object.fromEntries(inUse.get(key) ?? [])
      log.error({ key, places }, 'encryption key is in use and not loaded')
    }
  }

  /** Reports each key once that was in use and is no more. A key that was just added is neither. */
  #reportRetired(inUse: ReadonlyMap<string, KeyUse>, used: ReadonlySet<string>): void {
    const { keyRing, log } = this.#with
    for (const key of keyRing.keyIds) {
      if (inUse.has(key) || key === keyRing.sealsWith) this.#retired.delete(key)
      else if (used.has(key) && !this.#retired.has(key)) {
        this.#retired.add(key)
        log.info(
          { key },
          'encryption key is no longer in use: remove it once every replica has logged this',
        )
      }
    }
  }
}
