import { sql } from 'kysely'
import { tokenAt } from '../accounts/sealed-tokens.ts'
import {
  type ProbeHost,
  probeAccessToken,
  probeRefreshToken,
  type TokenVerdict,
} from '../provider/probe.ts'
import type { Secret } from '../vault/secret.ts'
import type { Claim } from './claim.ts'
import type { Engine } from './engine.ts'
import { atStep } from './steps.ts'

/** Times SETTLE_MS: so long two probes that contradict each other are asked again; then the refresh token's is believed. */
const DISAGREE = 10

/** What a probe of a refresh token needs. */
export interface Prober extends Pick<Engine, 'integrations'> {
  committer: Pick<Engine['committer'], 'keyRing'>
}

/**
 * Asks the provider about the claim's own token, which spends nothing (provider page, part 4). Only ever under the claim,
 * so that its verdict is about the generation that the claim names. Without a host to ask: unclear.
 */
export async function probeClaim(engine: Prober, claim: Claim): Promise<TokenVerdict> {
  const { keyRing } = engine.committer
  const refreshToken = keyRing.open(claim.refreshToken, tokenAt(claim, 'refreshToken'))
  atStep('probing', claim)
  const verdict = await probeToken(engine, claim, refreshToken)
  atStep('probed', claim)
  return verdict
}

/** The same of another refresh token of the claim's account. */
export async function probeToken(
  engine: Prober,
  claim: Claim,
  refreshToken: Secret,
): Promise<TokenVerdict> {
  const at = hostOf(claim)
  if (at === undefined) return { verdict: 'unclear', failure: 'NO_HOST' }
  const client = engine.integrations.get(claim.integration)
  const verdict = await probeRefreshToken(client, at, refreshToken)
  if (verdict.verdict === 'alive' && verdict.accountId !== claim.accountId) {
    return { verdict: 'unclear', failure: 'ANOTHER_ACCOUNT' }
  }
  return verdict
}

/**
 * What became of a token that was sent without a clear answer. The access token of the same pair is asked as well: one that
 * has died before its time died of the refresh (provider page, part 3), whatever the probe says.
 */
export async function probeAfterSend(engine: Engine, claim: Claim): Promise<TokenVerdict> {
  const verdict = await probeClaim(engine, claim)
  if (verdict.verdict === 'dead' || !(await hasAccessTokenDied(engine, claim))) return verdict
  if (verdict.verdict === 'unclear') return { verdict: 'dead' }
  const isOld = await wasSentLongAgo(engine, claim)
  return isOld ? verdict : { verdict: 'unclear', failure: 'PROBES_DISAGREE' }
}

async function hasAccessTokenDied(engine: Engine, claim: Claim): Promise<boolean> {
  const { claims, keyRing } = engine.committer
  const at = hostOf(claim)
  const row = await claims
    .selectFrom('amo_tokens')
    .select('accessToken')
    .where('integration', '=', claim.integration)
    .where('accountId', '=', claim.accountId)
    .where('generation', '=', claim.generation)
    // Past its time, or known to be dead before, it says nothing of the send.
    .where('accessDeadAt', 'is', null)
    .where('expiresAt', '>', sql<Date>`clock_timestamp() + interval '10 seconds'`)
    .executeTakeFirst()
  if (row === undefined || at === undefined) return false
  const client = engine.integrations.get(claim.integration)
  const accessToken = keyRing.open(row.accessToken, tokenAt(claim, 'accessToken'))
  const { verdict } = await probeAccessToken(client, at.host, accessToken)
  return verdict === 'dead'
}

async function wasSentLongAgo({ claimant }: Engine, claim: Claim): Promise<boolean> {
  const { rows } = await sql`
    select from amo_refresh_attempts where id = ${claim.attemptId}
      and "sentAt" < clock_timestamp() - ${DISAGREE * claimant.settleMs} * interval '1 millisecond'
  `.execute(claimant.claims)
  return rows.length > 0
}

function hostOf({ apiDomain, domain }: Claim): ProbeHost | undefined {
  const host = apiDomain ?? domain
  return host === null ? undefined : { host, isApi: apiDomain !== null }
}
