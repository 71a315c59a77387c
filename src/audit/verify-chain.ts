import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { equalInConstantTime, type KeyedHash } from '../vault/keyed-hash.ts'
import { type Break, findBreaks } from './break.ts'
import { linkOf, signatureOf } from './chain.ts'
import { RowOrder } from './row-order.ts'
import { findSealed, getHead } from './store.ts'

const BATCH = 1_000

/** A published head: the number of its row, and its mac. */
export interface PublishedHead {
  seq: number
  mac: string
  /** When it was published, in milliseconds since 1970. */
  atMs?: number | undefined
  /** Signatures of the restores that the chain had then, where its publisher knows them. */
  breaks?: readonly string[] | undefined
}

/** A restore of the database, and the published heads that it explains. */
interface Restore {
  at: string
  /** The row where the audit of the backup ended. */
  seq: number
  /** Heads that were published after the backup and before the restore. Their rows are lost. */
  lostHeads: number
  newestLost: number
}

interface Verification {
  rows: number
  first: number
  last: number
  /** Published heads that were given. Those that retention has cut off cannot be compared. */
  heads: number
  /** Restores that this deployment signed, the newest first. */
  restores: Restore[]
  /**
   * One line for each thing that is wrong. Empty: nothing was changed, removed, inserted or cut
   * off.
   */
  problems: string[]
}

/** Verifies the whole chain, from the checkpoint that retention signed to the newest head. */
export async function verifyAudit(
  db: Kysely<Tables>,
  hash: KeyedHash,
  published: readonly PublishedHead[],
  onRows: (rows: number) => void = () => {},
): Promise<Verification> {
  const head = await getHead(db)
  const problems: string[] = []
  if (head.cutSeq > 0 && !equalInConstantTime(signatureOf(hash, head), head.cutSignature)) {
    problems.push(`the checkpoint at row ${head.cutSeq} is not signed by this deployment`)
  }
  const breaks = await findBreaks(db, hash)
  const lost = new Map(breaks.map((each) => [each, [] as number[]]))
  const expected = new Map<number, string[]>()
  for (const each of published) {
    const { seq, mac } = each
    if (seq <= head.cutSeq) continue
    const restore = breaks.findLast((one) => isLostBy(one, each))
    if (restore === undefined) expected.set(seq, [...(expected.get(seq) ?? []), mac])
    else lost.get(restore)?.push(seq)
  }
  let { cutSeq: seq, cutMac: mac } = head
  const order = new RowOrder()
  let rows = 0
  for (;;) {
    const page = await findSealed(db, seq, BATCH)
    if (page.length === 0) break
    for (const row of page) {
      const found = Number(row.seq)
      if (found !== seq + 1) problems.push(gap(seq + 1, found - 1))
      // After a gap the chain is checked anew from the next row, so that one removed row is one
      // problem.
      if (found === seq + 1 && linkOf(hash, mac, found, row) !== row.mac) {
        problems.push(`row ${found} was changed, or the one before it`)
      }
      for (const problem of order.check(row)) problems.push(`row ${found} ${problem}`)
      seq = found
      mac = row.mac ?? ''
      for (const each of expected.get(found) ?? []) {
        if (each !== mac) problems.push(`row ${found} is not the one whose head was published`)
      }
    }
    rows += page.length
    onRows(rows)
  }
  if (seq !== head.seq) problems.push(gap(seq + 1, head.seq))
  else if (mac !== head.mac) problems.push(`the head at row ${head.seq} does not fit the chain`)
  const newest = Math.max(0, ...expected.keys())
  if (newest > Math.max(seq, head.seq)) problems.push(gap(seq + 1, newest))
  const restores = [...lost].map(([{ seq, at }, seqs]) => ({
    at: new Date(at).toISOString(),
    seq,
    lostHeads: seqs.length,
    newestLost: Math.max(0, ...seqs),
  }))
  const heads = published.length
  return { rows, first: head.cutSeq + 1, last: seq, heads, restores, problems }
}

/**
 * Whether the restore explains that the chain lacks a head: it was published before the restore, of
 * a row that the backup did not have. Without proof that it is older, a head must be in the chain.
 */
function isLostBy({ seq, at, signature }: Break, head: PublishedHead): boolean {
  if (head.seq <= seq) return false
  if (head.breaks !== undefined) return !head.breaks.includes(signature)
  return head.atMs !== undefined && head.atMs < at
}

function gap(from: number, to: number): string {
  if (to < from) return `the chain ends at row ${from - 1}, its head says ${to}`
  return from === to ? `row ${from} was removed` : `rows ${from} to ${to} were removed`
}
