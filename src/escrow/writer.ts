import type { Kysely } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import { withTimeout } from '../lib/with-timeout.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { type Change, findLagSeconds, forgetChanges, readChanges } from './changes.ts'
import {
  beginSnapshot,
  countLines,
  type EscrowState,
  endLease,
  endSnapshot,
  getEscrowState,
  openSegment,
  switchOn,
  takeLease,
} from './lease.ts'
import type { EscrowPlace } from './place.ts'
import { type Entry, RELATIONS, writeLine } from './segment-line.ts'

/** A healthy escrow lags by this much, plus the time of an append. */
const INTERVAL_MS = 1_000
const BATCH = 500
/** A batch must end before the lease does. */
const PLACE_LIMIT_MS = 10_000
/** A segment is closed after this many lines, so that compaction can remove it. */
const MAX_LINES = 100_000
/** A new snapshot replaces the segments when they have this many times its lines. */
const OUTGROWN = 4
const MIN_OUTGROWN_LINES = 10_000

interface WriterDependencies {
  database: Database
  keyRing: KeyRing
  deploymentId: string
  /** The id of this process start. */
  owner: string
  openPlace: () => Promise<EscrowPlace>
  /** Called with what is wrong with the place; null: it works again. */
  onProblem: (problem: string | null) => void
  log: Logger
}

/**
 * Appends the newest image of every changed row to the escrow, off the path of the commits. Every
 * replica runs it, and one at a time has the lease. Two that append at once do no harm, because
 * each image has the time when it was read and each process writes its own segments.
 */
export class EscrowWriter implements PeriodicWork {
  readonly name = 'escrow'
  readonly intervalMs = INTERVAL_MS
  readonly #with: WriterDependencies
  #place: EscrowPlace | undefined
  #segment: { number: number; lines: number } | undefined
  #problem: string | null = null
  #lagSeconds = 0

  constructor(dependencies: WriterDependencies) {
    this.#with = dependencies
  }

  /** Age of the oldest change that the escrow lacks, in seconds, as of the last run. */
  get lagSeconds(): number {
    return this.#lagSeconds
  }

  /** Appends what changed since the last run. Throws only when the database fails. */
  async run(): Promise<void> {
    const { db } = this.#with.database
    await switchOn(db)
    this.#lagSeconds = await findLagSeconds(db)
    try {
      await this.#appendAll(db)
      this.#setProblem(null)
    } catch (error) {
      if (!(error instanceof PlaceFailed)) throw error
      this.#segment = undefined
      this.#setProblem(error.message)
    }
    this.#lagSeconds = await findLagSeconds(db)
  }

  /** Lets another replica continue at once. */
  async close(): Promise<void> {
    await endLease(this.#with.database.db, this.#with.owner).catch(() => {})
    await this.#place?.close().catch(() => {})
  }

  async #appendAll(db: Kysely<Tables>): Promise<void> {
    const state = await getEscrowState(db)
    const needsSnapshot = this.#needsSnapshot(state)
    if (!needsSnapshot && this.#lagSeconds === 0) return
    if (!(await takeLease(db, this.#with.owner))) {
      this.#segment = undefined
      return
    }
    const isBroken = this.#segment === undefined && (await this.#isNewestMissing(state))
    if (needsSnapshot || isBroken) await this.#beginSnapshot(db)
    for (;;) {
      const changes = await readChanges(db, BATCH)
      if (changes.length > 0) await this.#append(db, changes)
      if (changes.length < BATCH || !(await takeLease(db, this.#with.owner))) return
    }
  }

  /**
   * Returns true when there is no snapshot yet, when many lines of the segments are outdated, or
   * when a segment is sealed under a replaced key.
   */
  #needsSnapshot(state: EscrowState): boolean {
    const { lines, snapshotLines, snapshotSegment, pendingSegment, keyIds } = state
    if (pendingSegment > 0) return false
    if (snapshotSegment === 0) return true
    const isOld = keyIds.some((id) => id !== this.#with.keyRing.sealsWith)
    return isOld || lines > Math.max(MIN_OUTGROWN_LINES, OUTGROWN * snapshotLines)
  }

  async #isNewestMissing({ writtenSegment }: EscrowState): Promise<boolean> {
    if (writtenSegment === 0) return false
    const found = await this.#ask((place) => place.segments())
    const isMissing = !found.includes(writtenSegment)
    if (isMissing) {
      this.#with.log.error({ segment: writtenSegment }, 'escrow segment is missing')
    }
    return isMissing
  }

  async #beginSnapshot(db: Kysely<Tables>): Promise<void> {
    const segment = await this.#open(db)
    const { database, keyRing } = this.#with
    await database.withDirect((direct) => beginSnapshot(direct, segment.number, keyRing.sealsWith))
    this.#with.log.info({ segment: segment.number }, 'escrow snapshot began')
  }

  async #append(db: Kysely<Tables>, changes: Change[]): Promise<void> {
    const segment =
      this.#segment === undefined || this.#segment.lines > MAX_LINES
        ? await this.#open(db)
        : this.#segment
    await this.#write(segment, entriesOf(changes))
    failpoint('escrow_appended')
    await countLines(db, segment.number, changes.length)
    await forgetChanges(
      db,
      changes.map(({ id }) => id),
    )
    for (const { relation, name } of changes) {
      if (relation === 'snapshot') await this.#endSnapshot(db, Number(name))
    }
  }

  /** Removes the segments that the snapshot has replaced. */
  async #endSnapshot(db: Kysely<Tables>, from: number): Promise<void> {
    await endSnapshot(db, from)
    const old = (await this.#ask((place) => place.segments())).filter((number) => number < from)
    for (const number of old) await this.#ask((place) => place.remove(number))
    this.#with.log.info({ segment: from, removed: old.length }, 'escrow snapshot complete')
  }

  async #open(db: Kysely<Tables>): Promise<{ number: number; lines: number }> {
    const previous = (await this.#ask((place) => place.segments())).at(-1) ?? null
    const number = await openSegment(db, previous ?? 0, this.#with.keyRing.sealsWith)
    const segment = { number, lines: 0 }
    await this.#write(segment, [{ segment: number, previous }])
    this.#segment = segment
    return segment
  }

  async #write(segment: { number: number; lines: number }, entries: Entry[]): Promise<void> {
    const { keyRing, deploymentId } = this.#with
    const first = segment.lines
    const lines = entries.map((entry, index) =>
      writeLine(keyRing, { deploymentId, segment: segment.number, line: first + index }, entry),
    )
    await this.#ask((place) => place.append(segment.number, first, lines))
    segment.lines += lines.length
  }

  /** Asks the place within a limit. Throws `PlaceFailed`. */
  async #ask<T>(work: (place: EscrowPlace) => Promise<T>): Promise<T> {
    try {
      this.#place ??= await this.#with.openPlace()
      const late = Symbol('late')
      const result = await withTimeout(work(this.#place), PLACE_LIMIT_MS, late)
      if (result === late) throw new Error(`no answer within ${PLACE_LIMIT_MS} ms`)
      return result as T
    } catch (error) {
      throw new PlaceFailed(error)
    }
  }

  #setProblem(problem: string | null): void {
    if (problem === this.#problem) return
    const { log, onProblem } = this.#with
    onProblem(problem)
    if (problem !== null) log.error({ problem }, 'escrow cannot be written')
    else log.info('escrow can be written again')
    this.#problem = problem
  }
}

/**
 * Returns the first image of each row. The images of one batch were read at once, so later ones of
 * the same row are equal.
 */
function entriesOf(changes: Change[]): Entry[] {
  const seen = new Set<string>()
  const entries: Entry[] = []
  for (const { relation, name, accountId, at, row } of changes) {
    if (relation === 'snapshot') {
      entries.push({ snapshotFrom: Number(name), relations: RELATIONS, at })
      continue
    }
    const key = JSON.stringify([relation, name, accountId])
    if (seen.has(key)) continue
    seen.add(key)
    entries.push({ relation, name, accountId, at, row })
  }
  return entries
}

/** The place failed. The message contains no URL. */
class PlaceFailed extends Error {
  override readonly name = 'PlaceFailed'

  constructor(cause: unknown) {
    const { code, message } = cause as NodeJS.ErrnoException
    super(code ?? message, { cause })
  }
}
