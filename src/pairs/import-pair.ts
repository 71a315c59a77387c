import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { BrokerError } from '../lib/errors.ts'
import { tokenAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import type { CommitContext } from './commit-context.ts'
import { nextGeneration } from './fence.ts'
import { lockDisplaced, parkPair } from './park.ts'
import { planRefresh } from './plan.ts'
import { releaseDomain } from './release-domain.ts'

/** Imported tokens whose account the provider has confirmed. */
export interface Imported extends AccountKey {
  domain: string
  apiDomain: string | null
  accessToken: Secret
  /** Null for a long-lived token. */
  refreshToken: Secret | null
  issuedAt: Date
  expiresAt: Date
  isAccessDead: boolean
  shadow: boolean
}

export type ImportResult = 'created' | 'replaced' | 'unchanged'

/**
 * Creates the account's row, or replaces the pair of exactly this generation and parks it. The
 * fence refuses a refresh of the replaced pair that is in progress. Throws `account_exists`,
 * `generation_moved`.
 */
export async function storeImported(
  commitContext: CommitContext,
  trx: Transaction<Tables>,
  imported: Imported,
  ifGeneration: number | undefined,
): Promise<ImportResult> {
  await sql`select set_config('synchronous_commit', 'on', true)`.execute(trx)
  const { integration, accountId, domain } = imported
  const generation = await nextGeneration(trx)
  await releaseDomain(trx, { integration, accountId, domain })
  const displaced = await lockDisplaced(commitContext.keyRing, trx, imported)
  const row = await trx
    .selectFrom('amo_tokens')
    .select(['generation', 'status', 'shadow', 'refreshTokenFingerprint'])
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  const { refreshToken } = imported
  const fingerprint = refreshToken === null ? null : commitContext.fingerprints.of(refreshToken)
  const isSame = fingerprint !== null && row?.refreshTokenFingerprint === fingerprint
  if (isSame && row.status === 'active' && row.shadow === imported.shadow) return 'unchanged'
  if (row !== undefined && ifGeneration === undefined) throw exists(imported, row, isSame)
  if (ifGeneration !== row?.generation) throw moved(row?.generation)
  const fields = fieldsOf(commitContext, imported, fingerprint, generation)
  const now = sql<Date>`clock_timestamp()`
  if (row === undefined) {
    const inserted = await trx
      .insertInto('amo_tokens')
      .values({ integration, accountId, ...fields })
      .onConflict((conflict) => conflict.columns(['integration', 'accountId']).doNothing())
      .returning('generation')
      .executeTakeFirst()
    if (inserted === undefined) throw exists(imported, undefined, false)
    return 'created'
  }
  await trx
    .updateTable('amo_tokens')
    .set({ ...fields, updatedAt: now })
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .execute()
  if (displaced !== undefined && !isSame) await parkPair(trx, displaced)
  return 'replaced'
}

function fieldsOf(
  { keyRing, clock }: CommitContext,
  imported: Imported,
  fingerprint: string | null,
  generation: number,
) {
  const { accessToken, refreshToken, issuedAt, expiresAt, isAccessDead } = imported
  const at = { integration: imported.integration, accountId: imported.accountId, generation }
  const now = sql<Date>`clock_timestamp()`
  const lifetimeSeconds = (expiresAt.getTime() - issuedAt.getTime()) / 1000
  const plan = planRefresh(issuedAt.getTime(), lifetimeSeconds, clock.random())
  const rotation =
    refreshToken === null
      ? { refreshAt: null, nextAttemptAt: null, refreshTokenExpiresAt: null }
      : {
          refreshAt: plan.refreshAt,
          nextAttemptAt: isAccessDead ? now : plan.refreshAt,
          refreshTokenExpiresAt: plan.refreshTokenExpiresAt,
        }
  return {
    domain: imported.domain,
    apiDomain: imported.apiDomain,
    kind: refreshToken === null ? ('long_lived' as const) : ('oauth' as const),
    status: 'active' as const,
    approvedAt: now,
    accessToken: keyRing.seal(accessToken, tokenAt(at, 'accessToken')),
    refreshToken:
      refreshToken === null ? null : keyRing.seal(refreshToken, tokenAt(at, 'refreshToken')),
    refreshTokenFingerprint: fingerprint,
    generation,
    issuedAt,
    expiresAt,
    ...rotation,
    failedAttempts: 0,
    accessDeadAt: isAccessDead ? now : null,
    lastErrorCode: null,
    lastErrorAt: null,
    isRestored: false,
    shadow: imported.shadow,
  }
}

function exists(
  { integration, accountId }: Imported,
  stored: { generation: number; status: string } | undefined,
  isSame: boolean,
): BrokerError {
  const detail = isSame
    ? `Account ${accountId} of "${integration}" has this pair already, in another state (${stored?.status}, or its shadow).`
    : `A different pair of account ${accountId} of "${integration}" is stored.`
  const members = stored === undefined ? {} : { generation: stored.generation }
  return new BrokerError('account_exists', detail, { members })
}

function moved(generation: number | undefined): BrokerError {
  const detail =
    generation === undefined
      ? 'If-Match names a generation, and the account is not here.'
      : 'If-Match names another generation than the account has.'
  return new BrokerError('generation_moved', detail, {
    members: generation === undefined ? {} : { generation },
  })
}
