import { logFields } from '../claims/claim.ts'
import { claimForProbe } from '../claims/claim-for-probe.ts'
import { finishProbe } from '../claims/finish-probe.ts'
import { type CheckedToken, markSuspect, takeForCheck } from '../claims/take-for-check.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import { markAccessTokenDead } from '../pairs/early-rotation.ts'
import { probeAccessToken } from '../provider/probe.ts'
import { tokenAt } from '../vault/sealed-places.ts'
import type { RefreshContext } from './context.ts'
import { finishDead } from './finish-dead.ts'
import { probeClaim } from './probe-claim.ts'

/** Checks per second and integration of this process at most. The pace is the real limit. */
const INTERVAL_MS = 1_000

/**
 * Checks the access tokens of accounts in use, so that a grant that the customer revoked is noticed
 * before the next refresh. Spends nothing, and takes its pace after everybody else.
 */
export function tokenCheckWork(context: RefreshContext, intervalMinutes: number): PeriodicWork {
  const { claimContext, provider } = context
  return {
    name: 'token-check',
    intervalMs: INTERVAL_MS,
    async run() {
      if (intervalMinutes === 0 || claimContext.deploymentId === null || claimContext.hasGap())
        return
      for (const { name, state } of provider.integrations.all()) {
        if (state === 'running') await checkNext(context, name, intervalMinutes)
      }
    },
  }
}

/**
 * Checks the next account of an integration, without a claim. Only a 401 leads to a probe under a
 * claim, and only of the same pair.
 */
async function checkNext(
  context: RefreshContext,
  integration: string,
  intervalMinutes: number,
): Promise<void> {
  const { claimContext, commitContext, provider, process } = context
  const token = await takeForCheck(claimContext, integration, intervalMinutes)
  if (token === undefined) return
  process.counters.checkInterval.set({ integration }, token.ageSeconds)
  const host = token.apiDomain ?? token.domain
  if (host === null) return
  const client = provider.integrations.get(integration)
  const accessToken = commitContext.keyRing.open(token.accessToken, tokenAt(token, 'accessToken'))
  const { state } = await probeAccessToken(client, host, accessToken, provider.call)
  if (state === 'dead') await examine(context, token)
}

/**
 * Probes the refresh token of an account whose access token was refused. Alive: the access token is
 * dead, and its rotation due. Dead, twice and by a strong probe: the grant was revoked.
 */
async function examine(context: RefreshContext, token: CheckedToken): Promise<void> {
  const { claimContext, provider, process } = context
  const claim = await claimForProbe(claimContext, token)
  if (claim === undefined) return
  if (claim.generation !== token.generation) return finishProbe(claimContext, claim)
  const { state } = await probeClaim(context, claim)
  process.log.warn({ ...logFields(claim), state }, 'access token refused at a check')
  const isStrong = provider.integrations.get(claim.integration).profile.probe === 'strong'
  if (state === 'dead' && isStrong && token.isSuspect)
    return finishDead(context, claim, 'grant_revoked', 'refused')
  await finishProbe(claimContext, claim)
  if (state === 'dead' && isStrong) await markSuspect(claimContext, token)
  if (state === 'alive') await markAccessTokenDead(claimContext.claims, token, token.generation)
}
