import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { equalInConstantTime, type KeyedHash } from '../vault/keyed-hash.ts'
import { linkOf, signatureOf } from './chain.ts'
import { findSealed, getHead } from './store.ts'

const BATCH = 1_000

/** A head as it was published: the number of its row, and its mac. */
export interface PublishedHead {
  seq: number
  mac: string
}

export interface Verification {
  rows: number
  first: number
  last: number
  /** Published heads that were compared; one that retention has cut off is not. */
  heads: number
  /** What is wrong, and where. Empty: nothing was changed, removed, put in between or cut off. */
  problems: string[]
}

/** Goes through the whole chain, from the checkpoint that retention signed to the newest head. */
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
  const expected = new Map<number, string[]>()
  for (const { seq, mac } of published) {
    if (seq > head.cutSeq) expected.set(seq, [...(expected.get(seq) ?? []), mac])
  }
  let { cutSeq: seq, cutMac: mac } = head
  let rows = 0
  for (;;) {
    const page = await findSealed(db, seq, BATCH)
    if (page.length === 0) break
    for (const row of page) {
      const found = Number(row.seq)
      if (found !== seq + 1) problems.push(gap(seq + 1, found - 1))
      // Behind a gap the chain is taken up again, so that one removed row is told and not all that follow.
      if (found === seq + 1 && linkOf(hash, mac, found, row) !== row.mac) {
        problems.push(`row ${found} was changed, or the one before it`)
      }
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
  return { rows, first: head.cutSeq + 1, last: seq, heads: published.length, problems }
}

function gap(from: number, to: number): string {
  if (to < from) return `the chain ends at row ${from - 1}, its head says ${to}`
  return from === to ? `row ${from} was removed` : `rows ${from} to ${to} were removed`
}
