import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Transaction } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { breaksIn, findBreak } from './break.ts'
import { linkOf, signatureOf } from './chain.ts'
import { type KnownHead, RememberedHead } from './known-head.ts'
import { RowOrder } from './row-order.ts'
import {
  type AuditHead,
  type AuditRow,
  cutRows,
  findMac,
  findNewestSealed,
  findOldest,
  findUnsealed,
  lockHead,
  sealRows,
} from './store.ts'

const INTERVAL_MS = 1_000
const BATCH = 1_000
const PUBLISH_MS = 5 * 60_000
const CUT_MS = 3600_000

interface SealerDependencies {
  database: Database
  hash: KeyedHash
  dataDir: string
  retentionDays: number
  /** Called with what is wrong with the audit. */
  onProblem: (problem: string) => void
  log: Logger
}

/**
 * Returns the file where a replica records the heads that it published, one per line: number, mac,
 * time.
 */
export function headsFile(dataDir: string): string {
  return join(dataDir, 'audit-heads')
}

/**
 * Chains the rows that were appended. Every replica tries; one at a time succeeds. The head is
 * published outside the database every five minutes, in the log and in DATA_DIR: a person who can
 * write the database cannot undo what was published. The newest head is remembered as well, and a
 * chain that no longer contains it is reported until the file is removed.
 */
export class AuditSealer implements PeriodicWork {
  readonly name = 'audit sealer'
  readonly intervalMs = INTERVAL_MS
  readonly #with: SealerDependencies
  #publishedSeq = 0
  #publishedMs = Number.NEGATIVE_INFINITY
  #cutMs = Number.NEGATIVE_INFINITY
  readonly #remembered: RememberedHead
  #isMoved = false

  constructor(dependencies: SealerDependencies) {
    this.#with = dependencies
    this.#remembered = new RememberedHead(dependencies.dataDir, dependencies.log)
  }

  /** Seals what is left and publishes the head, at the end of the process. Logs a failure. */
  async close(): Promise<void> {
    this.#publishedMs = Number.NEGATIVE_INFINITY
    await this.run().catch((err) => this.#with.log.warn({ err }, 'audit not sealed at the end'))
  }

  /** Seals the rows that were appended since the last run. */
  async run(): Promise<void> {
    let head: AuditHead | undefined
    let sealed = 0
    const breaks = new Set((await this.#remembered.get())?.breaks)
    do {
      ;({ head, sealed } = await this.#with.database.db
        .transaction()
        .execute((trx) => this.#seal(trx, breaks)))
    } while (sealed === BATCH)
    if (head === undefined) return
    // The remembered head stays as evidence once the chain does not contain it.
    const { timeline } = this.#with.database.storage
    if (!this.#isMoved) await this.#remembered.set({ ...head, timeline, breaks: [...breaks] })
    await this.#publish(head)
  }

  /** @param breaks The restores that the chain has. Those of this batch are added. */
  async #seal(
    trx: Transaction<Tables>,
    breaks: Set<string>,
  ): Promise<{ head: AuditHead | undefined; sealed: number }> {
    const { hash } = this.#with
    const head = await lockHead(trx)
    if (head === undefined) return { head, sealed: 0 }
    await this.#compare(trx, head, breaks)
    let { seq, mac } = head
    const rows = await findUnsealed(trx, BATCH)
    if (rows.length > 0) await this.#checkOrder(trx, seq, rows)
    const links = rows.map((row) => {
      seq += 1
      mac = linkOf(hash, mac, seq, row)
      return { id: row.id, seq, mac }
    })
    await sealRows(trx, links)
    for (const signature of breaksIn(rows)) breaks.add(signature)
    await this.#cut(trx, head)
    return { head: { ...head, seq, mac }, sealed: rows.length }
  }

  /**
   * Reports a chain that does not contain the remembered head: rows were removed or rewritten. A
   * restore that this deployment signed is accepted once.
   */
  async #compare(trx: Transaction<Tables>, head: AuditHead, breaks: Set<string>): Promise<void> {
    const known = await this.#remembered.get()
    // Cut off by retention: the signed checkpoint stands for it.
    if (known === undefined || this.#isMoved || known.seq <= head.cutSeq) return
    const mac = known.seq === head.seq ? head.mac : await findMac(trx, known.seq)
    if (head.seq >= known.seq && mac === known.mac) return
    const signature = await findBreak(trx, this.#with.hash, breaks)
    if (signature !== undefined) {
      // Another replica may have sealed its row, and it counts once.
      breaks.add(signature)
      this.#with.log.warn({ known: known.seq, found: head.seq }, 'audit continues after a restore')
      return
    }
    const { timeline } = this.#with.database.storage
    if (known.timeline > 0 && timeline > known.timeline) return this.#reportLost(known, head)
    this.#isMoved = true
    const problem = `its head moved back or was rewritten: row ${known.seq} is not the one that was sealed`
    this.#report(problem, { known: known.seq, found: head.seq })
  }

  /**
   * Reports rows that a promoted standby, or a backup, did not have. The chain goes on from the
   * head that it has.
   */
  #reportLost(known: KnownHead, head: AuditHead): void {
    const { onProblem, log } = this.#with
    const problem = `rows up to ${known.seq} are missing since PostgreSQL was failed over or restored`
    onProblem(problem)
    log.error({ known: known.seq, found: head.seq }, 'audit rows were lost in a failover')
  }

  /**
   * Reports rows whose id or time lies before those that are sealed. They are sealed as evidence.
   */
  async #checkOrder(trx: Transaction<Tables>, seq: number, rows: AuditRow[]): Promise<void> {
    const order = new RowOrder()
    const newest = await findNewestSealed(trx, seq)
    if (newest !== undefined) order.check(newest)
    for (const row of rows) {
      const [problem] = order.check(row)
      if (problem !== undefined) this.#report(`row with id ${row.id} ${problem}`, { id: row.id })
    }
  }

  #report(problem: string, fields: object): void {
    const { onProblem, log } = this.#with
    onProblem(`tampered with, ${problem}`)
    log.error({ ...fields, problem }, 'audit was tampered with')
  }

  /**
   * Applies retention: removes the oldest part of the chain and stores a signed checkpoint. Stops
   * at the first row that does not fit the chain or is not old, so that a forged old time in one
   * row removes nothing else.
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
    // A full batch may have more behind it: the next run continues.
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
