import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { type CountedEntry, plainDetail } from './entry.ts'

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

/** A row as its mac covers it: every field as text, so that no reading of it can differ. */
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

export const ROW = sql`id::text, seq::text, mac,
  to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, actor, action, integration,
  "accountId"::text as "accountId", generation::text as generation, outcome, times::text as times, detail::text as detail`

export interface AuditHead {
  seq: number
  mac: string
  cutSeq: number
  cutMac: string
  cutSignature: string
}

const HEAD = ['seq', 'mac', 'cutSeq', 'cutMac', 'cutSignature'] as const

export function getHead(db: Kysely<Tables>): Promise<AuditHead> {
  return db.selectFrom('amo_audit_head').select(HEAD).executeTakeFirstOrThrow()
}

/** Undefined: another replica is at it. */
export function lockHead(trx: Transaction<Tables>): Promise<AuditHead | undefined> {
  return trx.selectFrom('amo_audit_head').select(HEAD).forUpdate().skipLocked().executeTakeFirst()
}

export async function findUnsealed(trx: Transaction<Tables>, limit: number): Promise<AuditRow[]> {
  const { rows } = await sql<AuditRow>`
    select ${ROW} from amo_audit where mac is null order by amo_audit.id limit ${limit}
  `.execute(trx)
  return rows
}

/** A place in the chain for each row, and the new head. */
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

/** The rows behind `after`, in the order of the chain, and whether each says that it is older than so many days. */
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

export async function cutRows(
  trx: Transaction<Tables>,
  cut: Pick<AuditHead, 'cutSeq' | 'cutMac' | 'cutSignature'>,
): Promise<void> {
  await trx.deleteFrom('amo_audit').where('seq', '<=', cut.cutSeq).execute()
  await trx.updateTable('amo_audit_head').set(cut).execute()
}

/** Sealed rows in the order of the chain, behind `after`. */
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
  /** Ids below this one: the page before ended there. */
  before?: number | undefined
}

/** The newest first. */
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
    filter.since && sql`at >= ${filter.since}`,
    filter.until && sql`at < ${filter.until}`,
    filter.before && sql`id < ${filter.before}`,
  ].filter((each) => typeof each === 'object')
  const { rows } = await sql<AuditRow>`
    select ${ROW} from amo_audit where ${sql.join([sql`true`, ...conditions], sql` and `)}
    order by amo_audit.id desc limit ${limit}
  `.execute(db)
  return rows
}
