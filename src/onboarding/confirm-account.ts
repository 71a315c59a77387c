import type { Logger } from 'pino'
import { type ConnectLinks, isExpectedAccount } from '../connect-links/links.ts'
import type { CredentialRecord } from '../integrations/credential-record.ts'
import type { Integration } from '../integrations/integration.ts'
import type { CommitContext } from '../pairs/commit-context.ts'
import { issuedAtOf } from '../pairs/issued-at.ts'
import type { Onboarded } from '../pairs/onboard-pair.ts'
import { probeRefreshToken } from '../provider/probe.ts'
import { allowedHost } from '../provider/profiles.ts'
import type { InboxPair } from './callback.ts'
import type { Inbox, InboxRow } from './inbox.ts'

export interface ConfirmationContext {
  inbox: Inbox
  credentials: CredentialRecord
  links: ConnectLinks
  commitContext: CommitContext
  log: Logger
}

/**
 * Asks the provider which account the pair belongs to.
 *
 * @returns `undefined` when it is not confirmed: the row is released or finished.
 */
export async function confirmAccount(
  { inbox, links }: ConfirmationContext,
  row: InboxRow,
  integration: Integration,
  { pair, sentAt }: InboxPair,
): Promise<Onboarded | undefined> {
  const { claims } = pair
  if (claims === undefined || claims.audience !== integration.clientId) {
    await inbox.finish(row.id, 'foreign_token')
    return undefined
  }
  const apiDomain = allowedHost(integration.profile, claims.apiDomain ?? '')
  const at = { host: apiDomain ?? row.referer ?? '', isApi: apiDomain !== undefined }
  const result = await probeRefreshToken(integration, at, pair.refreshToken)
  if (result.state === 'unclear') {
    await inbox.release(row.id)
    return undefined
  }
  if (result.state === 'dead' || result.accountId !== claims.accountId) {
    await inbox.finish(row.id, 'domain_unconfirmed')
    return undefined
  }
  const account = { accountId: claims.accountId, domain: result.domain ?? row.referer ?? '' }
  if (!(await isExpected(links, row, account))) {
    await inbox.finish(row.id, 'other_account')
    return undefined
  }
  return {
    ...account,
    integration: integration.name,
    apiDomain: apiDomain ?? null,
    pair,
    issuedAt: issuedAtOf(claims, sentAt.getTime()),
    sentAtMs: sentAt.getTime(),
    isExpected: row.origin !== 'install',
  }
}

/**
 * Returns true when the account is the one that the link or the operator named, or none was named.
 */
async function isExpected(
  links: ConnectLinks,
  { origin, referer, linkId }: InboxRow,
  account: { accountId: number; domain: string },
): Promise<boolean> {
  if (origin === 'manual' || origin === 'exchange') return account.domain === referer
  const link = linkId === null ? undefined : await links.findById(linkId)
  return isExpectedAccount(link?.expectedAccount ?? null, account)
}
