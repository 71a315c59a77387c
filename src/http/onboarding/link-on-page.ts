import { sql } from 'kysely'
import type { ConnectLink, ConnectLinks } from '../../connect-links/links.ts'
import { accountsByName } from '../../db/accounts-by-name.ts'
import type { Database } from '../../db/database.ts'
import type { Onboarding } from '../../onboarding/service.ts'

export interface LinkPages {
  links: ConnectLinks
  onboarding: Onboarding
  database: Database
}

/** What a page shows of the link that led to it. */
export interface LinkOnPage {
  /** Origin of the page that opened the link and may learn the outcome. */
  openerOrigin: string | null
  /** Path that opens the link once more; null when it works no more. */
  retryUrl: string | null
  /** The account that the link is for, by its domain if that is known. */
  expectedAccount: string | null
}

/**
 * Finds the link that led to a page.
 *
 * @returns `undefined` when there is none, or PostgreSQL does not answer
 */
export async function findLinkOnPage(
  pages: LinkPages,
  linkId: string | null,
): Promise<LinkOnPage | undefined> {
  if (linkId === null) return undefined
  try {
    const link = await pages.links.findById(linkId)
    if (link === undefined) return undefined
    return {
      openerOrigin: link.openerOrigin,
      retryUrl: retryUrlOf(pages.onboarding, link),
      expectedAccount: await nameExpectedAccount(pages.database, link),
    }
  } catch {
    return undefined
  }
}

/** The mark proves that this broker showed the link to a person who had opened it before. */
function retryUrlOf(onboarding: Onboarding, link: ConnectLink): string | null {
  if (link.isUsed || link.isExpired || link.integration === null) return null
  const query = new URLSearchParams({ mark: onboarding.pageMarks.ofRetry(link.id) })
  return `/onboarding/again/${link.id}?${query}`
}

/** Returns the domain of the account that a link is for, or its name as the operator wrote it. */
async function nameExpectedAccount(
  { db }: Database,
  { integration, expectedAccount }: ConnectLink,
): Promise<string | null> {
  if (expectedAccount === null || !/^\d+$/.test(expectedAccount)) return expectedAccount
  const known = await accountsByName(db, expectedAccount)
    .select('domain')
    .where('integration', '=', integration ?? '')
    .where(sql<boolean>`domain is not null`)
    .executeTakeFirst()
  return known?.domain ?? expectedAccount
}
