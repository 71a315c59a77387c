import { setTimeout as delay } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import type { AccountStatus, Tables } from '../db/tables.ts'
import { KeyMissing, SealBroken } from '../errors.ts'
import type { Claimant } from './claim.ts'
import { claimForVerdict, endVerdict } from './claim-verdict.ts'
import { type Prober, probeClaim } from './probe-claim.ts'

/** `busy`: it was being refreshed, which is a good sign. `unreadable`: under a key that is not loaded, or altered. */
export const VERDICTS = ['alive', 'dead', 'unclear', 'busy', 'unreadable'] as const
export type Verdict = (typeof VERDICTS)[number]

export interface Verified extends AccountKey {
  domain: string | null
  status: AccountStatus
  verdict: Verdict
}

/** What one account is verified with. */
export interface AccountVerifier extends Prober {
  db: Kysely<Tables>
  claimant: Claimant
}

export interface Verifier extends AccountVerifier {
  /** Probes a second: the siblings' calls share the provider's limit. */
  pace: number
}

interface Row extends AccountKey {
  domain: string | null
  status: AccountStatus
}

const PAGE = 500

const HAS_REFRESH_TOKEN = sql<boolean>`kind = 'oauth' and status <> 'disconnected'`

/** How many accounts `verifyAccounts` will ask about. */
export async function countVerifiable(db: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ accounts: number }>`
    select count(*)::int as accounts from amo_tokens where ${HAS_REFRESH_TOKEN}
  `.execute(db)
  return rows[0]?.accounts ?? 0
}

/**
 * Asks the provider about the refresh token of every account that has one and was not disconnected, one after the other, each
 * under the account's claim. Spends nothing and changes no account, whichever deployment the database belongs to.
 */
export async function* verifyAccounts(verifier: Verifier): AsyncGenerator<Verified> {
  let after: AccountKey = { integration: '', accountId: 0 }
  for (;;) {
    const page = await findPage(verifier.db, after)
    for (const { integration, accountId, domain, status } of page) {
      after = { integration, accountId }
      const spacing = delay(1000 / verifier.pace)
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

/** The same of one account. Undefined: it is gone, or has no refresh token. */
export async function verifyAccount(
  verifier: AccountVerifier,
  key: AccountKey,
): Promise<Verdict | undefined> {
  const { claimant } = verifier
  const claim = await claimForVerdict(claimant, key, { isAnyDeployment: true })
  if (claim === undefined) return whyNot(verifier, key)
  try {
    return (await probeClaim(verifier, claim)).verdict
  } catch (error) {
    if (error instanceof KeyMissing || error instanceof SealBroken) return 'unreadable'
    throw error
  } finally {
    await endVerdict(claimant, claim)
  }
}

async function whyNot(
  { db, claimant }: AccountVerifier,
  key: AccountKey,
): Promise<Verdict | undefined> {
  const { rows } = await sql<{ isReadable: boolean }>`
    select split_part("refreshToken", '.', 1) = any(${claimant.keyIds}::text[]) as "isReadable"
    from amo_tokens
    where integration = ${key.integration} and "accountId" = ${key.accountId} and ${HAS_REFRESH_TOKEN}
  `.execute(db)
  const [row] = rows
  if (row === undefined) return undefined
  return row.isReadable ? 'busy' : 'unreadable'
}
