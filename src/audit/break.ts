import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { equalInConstantTime, type KeyedHash } from '../vault/keyed-hash.ts'
import { type AuditRow, appendEntries, findMac, getHead } from './store.ts'

const ACTION = 'databaseRestored'
/** Hexadecimal digits of a signature, as many as a detail of the audit may have. */
const DIGITS = 63
const MAX_BREAKS = 50

/**
 * Records that the database was restored to an earlier state, signed for the head that the audit
 * has now. Replicas that remember a later head accept it once (`findBreak`).
 */
export async function signBreak(
  trx: Transaction<Tables>,
  hash: KeyedHash,
  detail: Record<string, number>,
): Promise<void> {
  const { seq, mac } = await getHead(trx)
  // The time distinguishes two restores of one backup.
  const at = Date.now()
  await appendEntries(trx, [
    {
      actor: 'operator',
      action: ACTION,
      outcome: 'done',
      times: 1,
      detail: { ...detail, seq, at, signature: signatureOf(hash, seq, mac, at) },
    },
  ])
}

/** A restore that this deployment signed. */
export interface Break {
  /** The row where the audit of the backup ended. */
  seq: number
  /** When it was restored, in milliseconds since 1970. */
  at: number
  signature: string
}

/** Returns the restores that this deployment signed, the newest first. */
export async function findBreaks(db: Kysely<Tables>, hash: KeyedHash): Promise<Break[]> {
  const found: Break[] = []
  for (const each of await findClaimed(db)) {
    const mac = await findMacAt(db, each.seq)
    if (mac === undefined) continue
    if (equalInConstantTime(signatureOf(hash, each.seq, mac, each.at), each.signature)) {
      found.push(each)
    }
  }
  return found
}

/**
 * Finds a restore that this deployment signed and that was not known before.
 *
 * @param known Signatures of the breaks that were seen already.
 * @returns the signature, or undefined when there is none
 */
export async function findBreak(
  trx: Transaction<Tables>,
  hash: KeyedHash,
  known: ReadonlySet<string>,
): Promise<string | undefined> {
  const breaks = await findBreaks(trx, hash)
  return breaks.find(({ signature }) => !known.has(signature))?.signature
}

/** Returns the signatures of the breaks among these rows. */
export function breaksIn(rows: readonly AuditRow[]): string[] {
  const breaks = rows.filter(({ action }) => action === ACTION)
  return breaks.map(({ detail }) => String(JSON.parse(detail).signature))
}

/** @returns undefined when there is no such row, or retention has cut it off */
async function findMacAt(db: Kysely<Tables>, seq: number): Promise<string | undefined> {
  if (seq === 0) return ''
  const { cutSeq, cutMac } = await getHead(db)
  return seq === cutSeq ? cutMac : findMac(db, seq)
}

/** Returns what rows claim to be restores. Their signatures are not checked yet. */
async function findClaimed(db: Kysely<Tables>): Promise<Break[]> {
  const { rows } = await sql<Break>`
    select (detail->>'seq')::float8 as seq, (detail->>'at')::float8 as at,
      detail->>'signature' as signature
    from amo_audit where action = ${ACTION} order by id desc limit ${MAX_BREAKS}
  `.execute(db)
  return rows
}

function signatureOf(hash: KeyedHash, seq: number, mac: string, at: number): string {
  const digest = hash.of(JSON.stringify(['break', seq, mac, at]))
  return Buffer.from(digest, 'base64url').toString('hex').slice(0, DIGITS)
}
