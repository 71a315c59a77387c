import { type Kysely, sql, type Transaction } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { type CountedEntry, plainDetail } from './entry.ts'

/** Appends entries, not yet sealed. */
export async function appendEntries(
  db: Kysely<Tables>,
  entries: readonly CountedEntry[],
): Promise<void> {
  const rows = entries.map(({ actor, action, outcome, times, account, generation, detail }) => ({
    actor,
    action,
    outcome,
    times,
    integration: account?.integration ?? null,
    accountId: account?.accountId ?? null,
    generation: generation ?? null,
    detail: JSON.stringify(plainDetail(detail)),
  }))
  if (rows.length > 0) await db.insertInto('amo_audit').values(rows).execute()
}

/** A row as its mac covers it: every field as text, so that every program reads the same bytes. */
export interface AuditRow {
  id: string
  seq: string | null
  mac: string | null
  /** UTC, with microseconds. */
  at: string
  actor: string
  action: string
  integration: string | null
  accountId: string | null
  generation: string | null
  outcome: string
  times: string
  detail: string
}

const ROW = sql`id::text, seq::text, mac,
  to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, actor, action, integration,
  "accountId"::text as "accountId", generation::text as generation, outcome, times::text as times, detail::text as detail`

export type AuditHead = Omit<Row<'amo_audit_head'>, 'onlyRow'>

const HEAD = ['seq', 'mac', 'cutSeq', 'cutMac', 'cutSignature'] as const

/** Returns the ends of the chain. */
export function getHead(db: Kysely<Tables>): Promise<AuditHead> {
  return db.selectFrom('amo_audit_head').select(HEAD).executeTakeFirstOrThrow()
}

/**
 * Locks the chain for sealing.
 * @returns Undefined while another replica seals.
 */
export function lockHead(trx: Transaction<Tables>): Promise<AuditHead | undefined> {
  return trx.selectFrom('amo_audit_head').select(HEAD).forUpdate().skipLocked().executeTakeFirst()
}

/** Returns rows that have no place in the chain yet, in the order of their ids. */
export async function findUnsealed(trx: Transaction<Tables>, limit: number): Promise<AuditRow[]> {
  const { rows } = await sql<AuditRow>`
    select ${ROW} from amo_audit where mac is null order by amo_audit.id limit ${limit}
  `.execute(trx)
  return rows
}

/** Stores the place in the chain of each row, and the new head. */
export async function sealRows(
  trx: Transaction<Tables>,
  links: readonly { id: string; seq: number; mac: string }[],
): Promise<void> {
  const last = links.at(-1)
  if (last === undefined) return
  await sql`
    update amo_audit a set seq = v.seq, mac = v.mac
    from jsonb_to_recordset(${JSON.stringify(links)}::jsonb) as v(id bigint, seq bigint, mac text)
    where a.id = v.id
  `.execute(trx)
  await trx.updateTable('amo_audit_head').set({ seq: last.seq, mac: last.mac }).execute()
}

/**
 * Returns the rows after `after` in the order of the chain, and whether each is older than `days`
 * by its own time.
 */
export async function findOldest(
  trx: Transaction<Tables>,
  after: number,
  days: number,
  limit: number,
): Promise<(AuditRow & { isOld: boolean })[]> {
  const { rows } = await sql<AuditRow & { isOld: boolean }>`
    select ${ROW}, amo_audit.at < clock_timestamp() - ${days} * interval '1 day' as "isOld"
    from amo_audit where seq > ${after} order by amo_audit.seq limit ${limit}
  `.execute(trx)
  return rows
}

/** Removes the rows up to the checkpoint and stores the checkpoint. */
export async function cutRows(
  trx: Transaction<Tables>,
  cut: Pick<AuditHead, 'cutSeq' | 'cutMac' | 'cutSignature'>,
): Promise<void> {
  await trx.deleteFrom('amo_audit').where('seq', '<=', cut.cutSeq).execute()
  await trx.updateTable('amo_audit_head').set(cut).execute()
}

/** Returns the mac of a sealed row; undefined: there is no such row. */
export async function findMac(db: Kysely<Tables>, seq: number): Promise<string | undefined> {
  const row = await db
    .selectFrom('amo_audit')
    .select('mac')
    .where('seq', '=', seq)
    .executeTakeFirst()
  return row?.mac ?? undefined
}

/** Returns id and time of the newest sealed row. */
export async function findNewestSealed(
  db: Kysely<Tables>,
  seq: number,
): Promise<AuditRow | undefined> {
  const [row] = await findSealed(db, seq - 1, 1)
  return row
}

/** Returns sealed rows after `after`, in the order of the chain. */
export async function findSealed(
  db: Kysely<Tables>,
  after: number,
  limit: number,
): Promise<AuditRow[]> {
  const { rows } = await sql<AuditRow>`
    select ${ROW} from amo_audit where seq > ${after} order by amo_audit.seq limit ${limit}
  `.execute(db)
  return rows
}

export interface AuditFilter {
  actor?: string | undefined
  action?: string | undefined
  outcome?: string | undefined
  integration?: string | undefined
  account?: number | undefined
  since?: Date | undefined
  until?: Date | undefined
  /** Only ids below this one, where the previous page ended. */
  before?: number | undefined
}

/**
 * Ids grow with time, so that a time bounds the ids that are read. Where clocks of servers differ,
 * they do not quite: the bounds are this much wider.
 */
const CLOCK_SLACK = sql`interval '1 hour'`

function since(time: Date) {
  return sql`at >= ${time} and id >= (
    select e.id from amo_audit e where e.at >= ${time}::timestamptz - ${CLOCK_SLACK} order by e.at, e.id limit 1)`
}

function until(time: Date) {
  return sql`at < ${time} and id <= (
    select e.id from amo_audit e where e.at < ${time}::timestamptz + ${CLOCK_SLACK}
    order by e.at desc, e.id desc limit 1)`
}

/** Returns entries that match the filter, the newest first. */
export async function findEntries(
  db: Kysely<Tables>,
  filter: AuditFilter,
  limit: number,
): Promise<AuditRow[]> {
  const conditions = [
    filter.actor && sql`actor = ${filter.actor}`,
    filter.action && sql`action = ${filter.action}`,
    filter.outcome && sql`outcome = ${filter.outcome}`,
    filter.integration && sql`integration = ${filter.integration}`,
    filter.account && sql`"accountId" = ${filter.account}`,
    filter.since && since(filter.since),
    filter.until && until(filter.until),
    filter.before && sql`id < ${filter.before}`,
  ].filter((each) => typeof each === 'object')
  const { rows } = await sql<AuditRow>`
    select ${ROW} from amo_audit where ${sql.join([sql`true`, ...conditions], sql` and `)}
    order by amo_audit.id desc limit ${limit}
  `.execute(db)
  return rows
}
