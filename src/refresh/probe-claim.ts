import { sql } from 'kysely'
import type { Claim } from '../claims/claim.ts'
import { failpoint } from '../lib/failpoint.ts'
import {
  type ProbeHost,
  type ProbeResult,
  probeAccessToken,
  probeRefreshToken,
} from '../provider/probe.ts'
import { tokenAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import type { ProviderAccess, RefreshContext } from './context.ts'

/**
 * Times SETTLE_MS. Two probes that contradict each other are repeated for this long. Then the
 * refresh token's is believed.
 */
const CONTRADICTION_SETTLES = 10

/** What a probe of a refresh token needs. */
export interface ProbeContext {
  provider: Pick<ProviderAccess, 'integrations' | 'call'>
  commitContext: Pick<RefreshContext['commitContext'], 'keyRing'>
}

/**
 * Asks the provider about the claim's own token, which spends nothing (docs/provider.md, part 4).
 * Only under the claim, so that the result is about the generation that the claim names.
 */
export async function probeClaim(context: ProbeContext, claim: Claim): Promise<ProbeResult> {
  const { keyRing } = context.commitContext
  const refreshToken = keyRing.open(claim.refreshToken, tokenAt(claim, 'refreshToken'))
  failpoint('probing', claim)
  const result = await probeToken(context, claim, refreshToken)
  claim.probed = result.state
  failpoint('probed', claim)
  return result
}

/** Asks the provider about another refresh token of the claim's account. */
export async function probeToken(
  { provider }: ProbeContext,
  claim: Claim,
  refreshToken: Secret,
): Promise<ProbeResult> {
  const host = hostOf(claim)
  if (host === undefined) return { state: 'unclear', failure: 'NO_HOST' }
  const client = provider.integrations.get(claim.integration)
  const result = await probeRefreshToken(client, host, refreshToken, provider.call)
  if (result.state === 'alive' && result.accountId !== claim.accountId) {
    return { state: 'unclear', failure: 'ANOTHER_ACCOUNT' }
  }
  return result
}

/**
 * Finds out what became of a token that was sent without a clear result. Also asks about the access
 * token of the same pair: if it died before its time, the refresh was processed (docs/provider.md,
 * part 3), whatever the first probe said.
 */
export async function probeAfterSend(context: RefreshContext, claim: Claim): Promise<ProbeResult> {
  const result = await judgeAccessTokenToo(context, claim, await probeClaim(context, claim))
  claim.probed = result.state
  return result
}

async function judgeAccessTokenToo(
  context: RefreshContext,
  claim: Claim,
  result: ProbeResult,
): Promise<ProbeResult> {
  if (result.state === 'dead' || !(await hasAccessTokenDied(context, claim))) return result
  if (result.state === 'unclear') return { state: 'dead' }
  const isOld = await wasSentLongAgo(context, claim)
  return isOld ? result : { state: 'unclear', failure: 'PROBES_DISAGREE' }
}

async function hasAccessTokenDied(context: RefreshContext, claim: Claim): Promise<boolean> {
  const { claims, keyRing } = context.commitContext
  const { integrations, call } = context.provider
  const host = hostOf(claim)
  const row = await claims
    .selectFrom('amo_tokens')
    .select('accessToken')
    .where('integration', '=', claim.integration)
    .where('accountId', '=', claim.accountId)
    .where('generation', '=', claim.generation)
    // An access token that has expired, or that was known to be dead before, shows nothing about
    // the send.
    .where('accessDeadAt', 'is', null)
    .where('expiresAt', '>', sql<Date>`clock_timestamp() + interval '10 seconds'`)
    .executeTakeFirst()
  if (row === undefined || host === undefined) return false
  const client = integrations.get(claim.integration)
  const accessToken = keyRing.open(row.accessToken, tokenAt(claim, 'accessToken'))
  const { state } = await probeAccessToken(client, host.host, accessToken, call)
  return state === 'dead'
}

async function wasSentLongAgo({ claimContext }: RefreshContext, claim: Claim): Promise<boolean> {
  const longMs = CONTRADICTION_SETTLES * claimContext.limits.settleMs
  const { rows } = await sql`
    select from amo_refresh_attempts where id = ${claim.attemptId}
      and "sentAt" < clock_timestamp() - ${longMs} * interval '1 millisecond'
  `.execute(claimContext.claims)
  return rows.length > 0
}

function hostOf({ apiDomain, domain }: Claim): ProbeHost | undefined {
  const host = apiDomain ?? domain
  return host === null ? undefined : { host, isApi: apiDomain !== null }
}
