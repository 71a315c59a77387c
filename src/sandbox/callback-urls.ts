import { PROFILES } from '../provider/profile-table.ts'
import type { Account, Integration } from './directory.ts'
import { domainOf } from './directory.ts'

/**
 * Builds the browser's callback: `code, state, referer, platform, client_id` (docs/provider.md,
 * part 2).
 */
export function callbackUrl(
  integration: Integration,
  account: Account,
  code: string,
  { state }: { state: string },
): string {
  return withQuery(integration.redirectUri, {
    code,
    state,
    referer: domainOf(account),
    platform: PROFILES[integration.platform].platformNumber,
    client_id: integration.clientId,
  })
}

/**
 * Builds the server's callback after an installation: `from_widget=1` and no state
 * (docs/provider.md, part 2).
 */
export function installUrl(integration: Integration, account: Account, code: string): string {
  return withQuery(integration.redirectUri, {
    code,
    referer: domainOf(account),
    platform: PROFILES[integration.platform].platformNumber,
    client_id: integration.clientId,
    from_widget: '1',
  })
}

/**
 * Builds the server's callback after exchange_api_key: `from_exchange=1` (docs/provider.md, part
 * 2).
 */
export function exchangeUrl(
  integration: Integration,
  account: Account,
  code: string,
  state: string | undefined,
): string {
  const query = { code, referer: domainOf(account), from_exchange: '1' }
  return withQuery(integration.redirectUri, state === undefined ? query : { ...query, state })
}

/** Builds the callback after Deny (docs/provider.md, part 1). */
export function refusalUrl(integration: Integration, state: string | undefined): string {
  return withQuery(integration.redirectUri, {
    error: 'access_denied',
    error_description: 'The user has denied access',
    state: state ?? 'state',
    client_id: integration.clientId,
  })
}

function withQuery(uri: string, query: Record<string, string>): string {
  const url = new URL(uri)
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
  return url.href
}
