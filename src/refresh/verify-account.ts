import { type Kysely, sql } from 'kysely'
import type { ClaimContext } from '../claims/claim-context.ts'
import { claimForProbe } from '../claims/claim-for-probe.ts'
import { finishProbe } from '../claims/finish-probe.ts'
import type { AccountStatus } from '../db/tables/accounts.ts'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { KeyMissing, SealBroken } from '../lib/errors.ts'
import { type ProbeContext, probeClaim } from './probe-claim.ts'

/**
 * `busy`: the account is being refreshed, which is a good sign. `unreadable`: its token is altered,
 * or sealed under a key that is not loaded.
 */
export const CHECK_RESULTS = ['alive', 'dead', 'unclear', 'busy', 'unreadable'] as const
export type CheckResult = (typeof CHECK_RESULTS)[number]

export interface Verified extends AccountKey {
  domain: string | null
  status: AccountStatus
  verdict: CheckResult
}

/** What one account is verified with. */
interface AccountVerifier extends ProbeContext {
  db: Kysely<Tables>
  claimContext: ClaimContext
}

export interface Verifier extends AccountVerifier {
  /** Probes per second. The calls of sibling services share the provider's limit. */
  pace: number
}

interface Row extends AccountKey {
  domain: string | null
  status: AccountStatus
}

const PAGE = 500

const HAS_REFRESH_TOKEN = sql<boolean>`kind = 'oauth' and status <> 'disconnected'`

/** Counts the accounts that `verifyAccounts` will ask about. */
export async function countVerifiable(db: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ accounts: number }>`
    select count(*)::int as accounts from amo_tokens where ${HAS_REFRESH_TOKEN}
  `.execute(db)
  return rows[0]?.accounts ?? 0
}

/**
 * Asks the provider about the refresh token of every account that has one and is not disconnected,
 * one after the other, each under the account's claim. Spends nothing and changes no account,
 * whichever deployment the database belongs to.
 */
export async function* verifyAccounts(verifier: Verifier): AsyncGenerator<Verified> {
  let after: AccountKey = { integration: '', accountId: 0 }
  for (;;) {
    const page = await findPage(verifier.db, after)
    for (const { integration, accountId, domain, status } of page) {
      after = { integration, accountId }
      const spacing = verifier.claimContext.clock.sleep(1000 / verifier.pace)
      const verdict = await verifyAccount(verifier, after)
      if (verdict !== undefined) yield { integration, accountId, domain, status, verdict }
      await spacing
    }
    if (page.length < PAGE) return
  }
}

async function findPage(db: Kysely<Tables>, after: AccountKey): Promise<Row[]> {
  const { rows } = await sql<Row>`
    select integration, "accountId", domain, status from amo_tokens
    where ${HAS_REFRESH_TOKEN}
      and (integration, "accountId") > (${after.integration}, ${after.accountId}::bigint)
    order by integration, "accountId" limit ${PAGE}
  `.execute(db)
  return rows
}

/**
 * Asks the provider about one account's refresh token, as `verifyAccounts` does.
 * @returns undefined when the account is missing, or has no refresh token.
 */
export async function verifyAccount(
  verifier: AccountVerifier,
  key: AccountKey,
): Promise<CheckResult | undefined> {
  const { claimContext } = verifier
  const claim = await claimForProbe(claimContext, key, { isAnyDeployment: true })
  if (claim === undefined) return findObstacle(verifier, key)
  try {
    return (await probeClaim(verifier, claim)).state
  } catch (error) {
    if (error instanceof KeyMissing || error instanceof SealBroken) return 'unreadable'
    throw error
  } finally {
    await finishProbe(claimContext, claim)
  }
}

/** Finds why an account could not be claimed. */
async function findObstacle(
  { db, claimContext }: AccountVerifier,
  key: AccountKey,
): Promise<CheckResult | undefined> {
  const { rows } = await sql<{ isReadable: boolean }>`
    select split_part("refreshToken", '.', 1) = any(${claimContext.keyIds}::text[]) as "isReadable"
    from amo_tokens
    where integration = ${key.integration} and "accountId" = ${key.accountId} and ${HAS_REFRESH_TOKEN}
  `.execute(db)
  const [row] = rows
  if (row === undefined) return undefined
  return row.isReadable ? 'busy' : 'unreadable'
}
