import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { Spool } from '../db/spool.ts'
import { Repeated } from '../repeated.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { countByKey, type Resealed, resealDatabase } from './reseal.ts'
import { countKept, resealCopies, resealSpool } from './reseal-kept.ts'

const INTERVAL_MS = 10 * 60_000

export interface KeysDependencies {
  database: Database
  redis: Redis | null
  spool: Spool
  keyRing: KeyRing
  deploymentId: string
  log: Logger
}

/** Where a key's values lie: place → how many. */
export type KeyUse = ReadonlyMap<string, number>

/**
 * Key rotation: a new key is added second everywhere, then moved first; from then on everything is moved to it here, in the
 * background, and it is said when an old one is in use no longer.
 */
export class Keys {
  readonly #with: KeysDependencies
  readonly #work: Repeated
  /** Keys that values are sealed under and ENCRYPTION_KEYS does not have. */
  #missing: string[] = []
  #retired = new Set<string>()

  constructor(dependencies: KeysDependencies) {
    this.#with = dependencies
    this.#work = new Repeated('reseal', INTERVAL_MS, () => this.#run(), dependencies.log)
  }

  /** For `/health/ready`: what cannot be opened, by the key that it needs. */
  get missing(): readonly string[] {
    return this.#missing
  }

  start(): void {
    this.#work.start()
  }

  stop(): Promise<void> {
    return this.#work.stop()
  }

  /** Moves everything that can be opened to the first key, place by place. */
  async *reseal(): AsyncGenerator<Resealed> {
    const { database, redis, spool, keyRing, deploymentId } = this.#with
    yield* resealDatabase(database.db, keyRing)
    yield await resealSpool(spool, keyRing)
    if (redis !== null) yield await resealCopies(redis, deploymentId, keyRing)
  }

  /** Every key that anything is sealed under, and where: in the database, in Redis, and on this disk. `exceptKey` as for `countByKey`. */
  async inUse(exceptKey?: string): Promise<ReadonlyMap<string, KeyUse>> {
    const { database, redis, spool, deploymentId } = this.#with
    const counts = await countByKey(database.db, exceptKey)
    await countKept(counts, spool, redis, deploymentId)
    return counts
  }

  async #run(): Promise<void> {
    const { keyRing, log } = this.#with
    if (keyRing.keyIds.length > 1) {
      for await (const done of this.reseal()) {
        if (done.resealed > 0) log.info({ ...done, key: keyRing.sealsWith }, 'values resealed')
      }
    }
    this.#judge(await this.inUse(keyRing.sealsWith))
  }

  #judge(inUse: ReadonlyMap<string, KeyUse>): void {
    const { keyRing, log } = this.#with
    this.#missing = [...inUse.keys()].filter((id) => !keyRing.keyIds.includes(id))
    for (const key of this.#missing) {
      const places = Object.fromEntries(inUse.get(key) ?? [])
      log.error({ key, places }, 'encryption key is in use and not loaded')
    }
    for (const key of keyRing.keyIds) {
      if (inUse.has(key)) this.#retired.delete(key)
      else if (key !== keyRing.sealsWith && !this.#retired.has(key)) {
        this.#retired.add(key)
        log.info(
          { key },
          'encryption key is no longer in use: it may go once every replica says so',
        )
      }
    }
  }
}
