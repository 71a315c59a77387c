import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Transaction } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { Repeated } from '../repeated.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { linkOf, signatureOf } from './chain.ts'
import { type AuditHead, cutRows, findOldest, findUnsealed, lockHead, sealRows } from './store.ts'

const INTERVAL_MS = 1_000
const BATCH = 1_000
const PUBLISH_MS = 5 * 60_000
const CUT_MS = 3600_000

export interface SealerDependencies {
  database: Database
  hash: KeyedHash
  dataDir: string
  retentionDays: number
  log: Logger
}

/** Where a replica writes down the heads that it published, one a line: number, mac, time. */
export function headsFile(dataDir: string): string {
  return join(dataDir, 'audit-heads')
}

/**
 * Chains what was appended: every replica tries, one at a time does. The head is published outside of the database, in the log
 * and in DATA_DIR, every five minutes: whoever can write the database cannot take back what was published.
 */
export class AuditSealer {
  readonly #with: SealerDependencies
  readonly #work: Repeated
  #publishedSeq = 0
  #publishedMs = Number.NEGATIVE_INFINITY
  #cutMs = Number.NEGATIVE_INFINITY

  constructor(dependencies: SealerDependencies) {
    this.#with = dependencies
    this.#work = new Repeated('audit sealer', INTERVAL_MS, () => this.#run(), dependencies.log)
  }

  start(): void {
    this.#work.start()
  }

  /** What is there is sealed, and its head published. */
  async stop(): Promise<void> {
    await this.#work.stop()
    this.#publishedMs = Number.NEGATIVE_INFINITY
    await this.#run().catch((err) => this.#with.log.warn({ err }, 'audit not sealed at the end'))
  }

  async #run(): Promise<void> {
    let head: AuditHead | undefined
    let sealed = 0
    do {
      ;({ head, sealed } = await this.#with.database.db
        .transaction()
        .execute((trx) => this.#seal(trx)))
    } while (sealed === BATCH)
    if (head !== undefined) await this.#publish(head)
  }

  async #seal(trx: Transaction<Tables>): Promise<{ head: AuditHead | undefined; sealed: number }> {
    const { hash } = this.#with
    const head = await lockHead(trx)
    if (head === undefined) return { head, sealed: 0 }
    let { seq, mac } = head
    const rows = await findUnsealed(trx, BATCH)
    const links = rows.map((row) => {
      seq += 1
      mac = linkOf(hash, mac, seq, row)
      return { id: row.id, seq, mac }
    })
    await sealRows(trx, links)
    await this.#cut(trx, head)
    return { head: { ...head, seq, mac }, sealed: rows.length }
  }

  /**
   * Retention: the oldest part of the chain goes, and a signed checkpoint says where it ended. Only what fits the chain and is
   * old from its beginning on: whoever writes an old time into one row has nothing signed away.
   */
  async #cut(trx: Transaction<Tables>, { cutSeq, cutMac }: AuditHead): Promise<void> {
    if (performance.now() - this.#cutMs < CUT_MS) return
    const { hash, retentionDays, log } = this.#with
    const end = { cutSeq, cutMac }
    for (const row of await findOldest(trx, cutSeq, retentionDays, BATCH)) {
      if (!row.isOld) break
      const seq = end.cutSeq + 1
      if (Number(row.seq) !== seq || linkOf(hash, end.cutMac, seq, row) !== row.mac) {
        log.error({ seq }, 'audit was tampered with, nothing from here on is cut off')
        break
      }
      end.cutSeq = seq
      end.cutMac = row.mac
    }
    // There may be more.
    if (end.cutSeq < cutSeq + BATCH) this.#cutMs = performance.now()
    if (end.cutSeq === cutSeq) return
    await cutRows(trx, { ...end, cutSignature: signatureOf(hash, end) })
    log.info({ seq: end.cutSeq }, 'audit cut off by retention')
  }

  async #publish({ seq, mac }: AuditHead): Promise<void> {
    if (seq === this.#publishedSeq || performance.now() - this.#publishedMs < PUBLISH_MS) return
    this.#publishedSeq = seq
    this.#publishedMs = performance.now()
    this.#with.log.info({ seq, mac }, 'audit head')
    const line = `${seq} ${mac} ${new Date().toISOString()}\n`
    await appendFile(headsFile(this.#with.dataDir), line, { mode: 0o600 })
  }
}
