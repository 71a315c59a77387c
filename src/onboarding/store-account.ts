import { sql, type Transaction } from 'kysely'
import { useLink } from '../connect-links/links.ts'
import type { Tables } from '../db/tables.ts'
import { failpoint } from '../lib/failpoint.ts'
import { type Onboarded, storeOnboarded } from '../pairs/onboard-pair.ts'
import type { ConfirmationContext } from './confirm-account.ts'
import type { InboxRow } from './inbox.ts'

/**
 * Stores a confirmed pair with its account, marks the link as used, and finishes the row of the
 * inbox, in one transaction. If it fails, the pair stays in the inbox and the worker tries again.
 */
export async function storeAccount(
  { inbox, credentials, commitContext, log }: ConfirmationContext,
  row: InboxRow,
  onboarded: Onboarded,
): Promise<void> {
  const { integration, accountId, domain } = onboarded
  const outcome = await commitContext.claims.transaction().execute(async (trx) => {
    await sql`select set_config('synchronous_commit', 'on', true)`.execute(trx)
    if (!(await inbox.lock(trx, row.id))) return undefined
    if (row.linkId !== null && !(await useLink(trx, row.linkId, accountId))) {
      await inbox.finish(row.id, 'link_used', undefined, trx)
      return 'link_used'
    }
    const stored = await storeOnboarded(commitContext, trx, onboarded)
    await confirmIntegration(trx, integration)
    await inbox.finish(row.id, stored, { accountId, domain }, trx)
    return stored
  })
  failpoint('account_stored')
  if (outcome === undefined) return
  inbox.onEnd(outcome)
  if (outcome === 'superseded' || outcome === 'link_used') return
  // An installation that nobody asked for says nothing about the client's own refusals.
  if (row.origin !== 'install') await credentials.recordError(integration, null)
  const { origin } = row
  log.info({ integration, account: accountId, domain, origin, outcome }, 'account connected')
}

/**
 * An integration that a button made is no longer provisional: its code was exchanged for its own
 * token.
 */
async function confirmIntegration(trx: Transaction<Tables>, name: string): Promise<void> {
  await trx
    .updateTable('amo_integrations')
    .set({ provisionalUntil: null })
    .where('name', '=', name)
    .where('provisionalUntil', 'is not', null)
    .execute()
}
