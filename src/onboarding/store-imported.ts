import { sql, type Transaction } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import { tokenAt } from '../accounts/sealed-tokens.ts'
import type { Tables } from '../db/tables.ts'
import { BrokerError } from '../errors.ts'
import { type Committer, nextGeneration } from '../refresh/commit.ts'
import { lockDisplaced, parkPair } from '../refresh/parking.ts'
import { planRefresh } from '../refresh/plan.ts'
import type { Secret } from '../vault/secret.ts'
import { takeNameOver } from './store.ts'

/** Tokens whose account the provider has confirmed. */
export interface Imported extends AccountKey {
  domain: string
  apiDomain: string | null
  accessToken: Secret
  /** Null: a long-lived token. */
  refreshToken: Secret | null
  issuedAt: Date
  expiresAt: Date
  isAccessDead: boolean
  shadow: boolean
}

export type ImportResult = 'created' | 'replaced' | 'unchanged'

/**
 * Makes the account's row, or replaces the pair of exactly this generation, which is parked. A refresh that is under way for the
 * replaced pair is refused by the fence. Throws `account_exists`, `generation_moved`.
 */
export async function storeImported(
  committer: Committer,
  trx: Transaction<Tables>,
  imported: Imported,
  ifGeneration: number | undefined,
): Promise<ImportResult> {
  await sql`select set_config('synchronous_commit', 'on', true)`.execute(trx)
  const { integration, accountId, domain } = imported
  await takeNameOver(trx, { integration, accountId, domain })
  const displaced = await lockDisplaced(committer.keyRing, trx, imported)
  const row = await trx
    .selectFrom('amo_tokens')
    .select(['generation', 'status', 'shadow', 'refreshTokenFingerprint'])
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  const { refreshToken } = imported
  const fingerprint = refreshToken === null ? null : committer.fingerprints.of(refreshToken)
  const isSame = fingerprint !== null && row?.refreshTokenFingerprint === fingerprint
  if (isSame && row.status === 'active' && row.shadow === imported.shadow) return 'unchanged'
  if (row !== undefined && ifGeneration === undefined) throw exists(imported, row.generation)
  if (ifGeneration !== row?.generation) throw moved(row?.generation)
  const fields = await fieldsOf(committer, trx, imported, fingerprint)
  const now = sql<Date>`clock_timestamp()`
  if (row === undefined) {
    const inserted = await trx
      .insertInto('amo_tokens')
      .values({ integration, accountId, ...fields })
      .onConflict((conflict) => conflict.columns(['integration', 'accountId']).doNothing())
      .returning('generation')
      .executeTakeFirst()
    if (inserted === undefined) throw exists(imported, undefined)
    return 'created'
  }
  await trx
    .updateTable('amo_tokens')
    .set({ ...fields, updatedAt: now })
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .execute()
  if (displaced !== undefined && !isSame) await parkPair(trx, ...displaced)
  return 'replaced'
}

async function fieldsOf(
  { keyRing }: Committer,
  trx: Transaction<Tables>,
  imported: Imported,
  fingerprint: string | null,
) {
  const { accessToken, refreshToken, issuedAt, expiresAt, isAccessDead } = imported
  const generation = await nextGeneration(trx)
  const at = { integration: imported.integration, accountId: imported.accountId, generation }
  const now = sql<Date>`clock_timestamp()`
  const plan = planRefresh(issuedAt.getTime(), (expiresAt.getTime() - issuedAt.getTime()) / 1000)
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
    shadow: imported.shadow,
  }
}

function exists({ integration, accountId }: Imported, generation: number | undefined): BrokerError {
  const detail = `Account ${accountId} of "${integration}" is here already.`
  const members = generation === undefined ? {} : { generation }
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
