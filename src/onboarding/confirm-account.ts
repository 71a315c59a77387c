import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { Integration } from '../integrations/service.ts'
import { probeRefreshToken } from '../provider/probe.ts'
import { allowedHost } from '../provider/profiles.ts'
import type { TokenPair } from '../provider/token-endpoint.ts'
import type { OnboardingDependencies } from './finish-onboarding.ts'
import { finishCallback, giveBackCallback, type InboxRow, lockCallback } from './inbox.ts'
import { isExpectedAccount, useLink } from './links.ts'
import { atOnboardingStep } from './steps.ts'
import { type Onboarded, storeOnboarded } from './store.ts'

export interface KeptPair {
  pair: TokenPair
  sentAt: Date
}

interface Account {
  accountId: number
  domain: string
}

/** Lets the provider say whose the pair is, and stores it with that account. */
export async function confirmAccount(
  onboarding: OnboardingDependencies,
  row: InboxRow,
  integration: Integration,
  { pair, sentAt }: KeptPair,
): Promise<void> {
  const { database, worker } = onboarding
  const { claims } = pair
  if (claims === undefined || claims.audience !== integration.clientId) {
    return finishCallback(database.db, row.id, worker, 'foreign_token')
  }
  const apiDomain = allowedHost(integration.profile, claims.apiDomain ?? '')
  const at = { host: apiDomain ?? row.referer ?? '', isApi: apiDomain !== undefined }
  const verdict = await probeRefreshToken(integration, at, pair.refreshToken)
  if (verdict.verdict === 'unclear') return giveBackCallback(database.db, row.id, worker)
  if (verdict.verdict === 'dead' || verdict.accountId !== claims.accountId) {
    return finishCallback(database.db, row.id, worker, 'domain_unconfirmed')
  }
  const account = { accountId: claims.accountId, domain: verdict.domain ?? row.referer ?? '' }
  if (!(await isMeant(onboarding, row, account))) {
    return finishCallback(database.db, row.id, worker, 'other_account')
  }
  atOnboardingStep('confirmed')
  await connect(onboarding, row, {
    ...account,
    integration: integration.name,
    apiDomain: apiDomain ?? null,
    pair,
    issuedAt: new Date(claims.issuedAtSeconds * 1000),
    sentAtMs: sentAt.getTime(),
    isExpected: row.origin !== 'install',
  })
}

/** Whether it is the account that the link names, or the one that an operator named. */
async function isMeant(
  { links }: OnboardingDependencies,
  { origin, referer, linkId }: InboxRow,
  account: Account,
): Promise<boolean> {
  if (origin === 'manual' || origin === 'exchange') return account.domain === referer
  const link = linkId === null ? undefined : await links.findById(linkId)
  return isExpectedAccount(link?.expectedAccount ?? null, account)
}

/** Should this fail, the pair is kept in the inbox and the worker comes back to it. */
async function connect(
  onboarding: OnboardingDependencies,
  row: InboxRow,
  onboarded: Onboarded,
): Promise<void> {
  const { database, committer, integrations, worker, log } = onboarding
  const { integration, accountId, domain } = onboarded
  const outcome = await database.claims.transaction().execute(async (trx) => {
    await sql`select set_config('synchronous_commit', 'on', true)`.execute(trx)
    if (!(await lockCallback(trx, row.id, worker))) return undefined
    if (row.linkId !== null && !(await useLink(trx, row.linkId, accountId))) {
      await finishCallback(trx, row.id, worker, 'link_used')
      return undefined
    }
    const stored = await storeOnboarded(committer, trx, onboarded)
    await keepIntegration(trx, integration)
    await finishCallback(trx, row.id, worker, stored, { accountId, domain })
    return stored
  })
  atOnboardingStep('stored')
  if (outcome === undefined || outcome === 'superseded') return
  // An installation that nobody asked for says nothing of the client's own refusals.
  if (row.origin !== 'install') await integrations.recordError(integration, null)
  const { origin } = row
  log.info({ integration, account: accountId, domain, origin, outcome }, 'account connected')
}

/** The integration that a button made has shown that it is what it says: its code was exchanged, and the token is its own. */
async function keepIntegration(trx: Transaction<Tables>, name: string): Promise<void> {
  await trx
    .updateTable('amo_integrations')
    .set({ provisionalUntil: null })
    .where('name', '=', name)
    .where('provisionalUntil', 'is not', null)
    .execute()
}
