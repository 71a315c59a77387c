import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { restorePairs } from '../pairs/restore-pairs.ts'
import { IS_NEWER_ACCOUNT, SAME_ACCOUNT, sameRow, upsertImages } from '../pairs/upsert-images.ts'
import type { EscrowContent } from './read-escrow.ts'
import type { Relation } from './segment-line.ts'

/** How many rows a restore changes. */
export interface Applied {
  integrations: number
  clients: number
  /** Clients that are no longer in the escrow. They are removed: their keys would work again. */
  clientsRemoved: number
  endpoints: number
  /** Endpoints that the escrow no longer has: they would get messages again. */
  endpointsRemoved: number
  labels: number
  accountsAdded: number
  /** Accounts that got a newer pair or state. */
  accountsRenewed: number
  accountsRemoved: number
  /** Accounts of the backup that the escrow does not have. Their pair may be spent. */
  accountsUncovered: number
}

/**
 * Brings a restored database to the images of `escrow_images`, in one transaction. Only newer
 * generations replace a pair (I3). Removals, disconnections and revocations are repeated before
 * anything is served.
 *
 * @param covers The tables of which the escrow has every row: a row that is not in it was removed.
 */
export async function applyImages(
  trx: Transaction<Tables>,
  { covers }: Pick<EscrowContent, 'covers'>,
): Promise<Applied> {
  const added = await countRows(
    trx,
    sql`
    select from escrow_images i where i.relation = 'amo_tokens' and i.row is not null
      and not exists (select from amo_tokens t where ${SAME_ACCOUNT})`,
  )
  const renewed = await countRows(
    trx,
    sql`
    select from escrow_images i join amo_tokens t on ${SAME_ACCOUNT}
    where i.relation = 'amo_tokens' and ${IS_NEWER_ACCOUNT}`,
  )
  const uncovered = await countRows(
    trx,
    sql`
    select from amo_tokens t where not exists (select from escrow_images i
      where i.relation = 'amo_tokens' and ${SAME_ACCOUNT})`,
  )
  const applied = {
    integrations: await upsertImages(
      trx,
      'amo_integrations',
      sql`name`,
      sql`
      t."updatedAt" <= i.at`,
    ),
    clients: await upsertImages(trx, 'amo_clients', sql`name`, sql`t."updatedAt" <= i.at`),
    clientsRemoved: await removeRows(trx, 'amo_clients', covers),
    // First, because a new endpoint may have the name of one that was removed.
    endpointsRemoved: await removeRows(trx, 'amo_endpoints', covers),
    endpoints: await upsertImages(trx, 'amo_endpoints', sql`id`, sql`t."updatedAt" <= i.at`),
    labels: 0,
    accountsAdded: added,
    accountsRenewed: renewed,
    accountsUncovered: uncovered,
    accountsRemoved: 0,
  }
  await upsertImages(
    trx,
    'amo_removals',
    sql`integration, "accountId"`,
    sql`
    t.generation <= (i.row->>'generation')::bigint`,
  )
  applied.accountsRemoved = await restorePairs(trx)
  applied.labels = await restoreLabels(trx, covers)
  const isUnused = sql`not exists (select from amo_tokens a where a.integration = t.name)`
  await removeRows(trx, 'amo_integrations', covers, isUnused)
  return applied
}

async function countRows(db: Kysely<Tables>, rows: ReturnType<typeof sql>): Promise<number> {
  const result = await sql<{ count: number }>`
    select count(*)::int as count from (${rows}) counted
  `.execute(db)
  return result.rows[0]?.count ?? 0
}

/** Brings labels to the escrow's. They belong to accounts, which are restored before. */
async function restoreLabels(
  trx: Transaction<Tables>,
  covers: EscrowContent['covers'],
): Promise<number> {
  await sql`
    delete from escrow_images i where i.relation = 'amo_account_labels'
      and not exists (select from amo_tokens t where ${SAME_ACCOUNT})
  `.execute(trx)
  const removed = await removeRows(trx, 'amo_account_labels', covers)
  const key = sql`integration, "accountId"`
  const isNewer = sql`t."updatedAt" <= i.at`
  return removed + (await upsertImages(trx, 'amo_account_labels', key, isNewer))
}

/**
 * Removes the rows that were removed since the backup: their image says so, or the escrow covers
 * the table and has none, because a snapshot leaves removed rows out.
 */
async function removeRows(
  trx: Transaction<Tables>,
  relation: Exclude<Relation, 'amo_tokens' | 'amo_removals'>,
  covers: EscrowContent['covers'],
  condition = sql`true`,
): Promise<number> {
  const image = sql`select from escrow_images i
    where i.relation = ${relation} and ${sameRow(relation)}`
  const { numAffectedRows } = await sql`
    delete from ${sql.table(relation)} t
    where ${condition} and (exists (${image} and i.row is null)
      or ${covers.includes(relation)} and not exists (${image}))
  `.execute(trx)
  return Number(numAffectedRows ?? 0)
}
