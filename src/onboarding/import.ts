import type { Logger } from 'pino'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { Integrations } from '../integrations/directory.ts'
import type { Integration } from '../integrations/integration.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { BrokerError } from '../lib/errors.ts'
import type { CommitContext } from '../pairs/commit-context.ts'
import { type Imported, type ImportResult, storeImported } from '../pairs/import-pair.ts'
import { type AccessTokenClaims, decodeAccessToken } from '../provider/access-token.ts'
import { MAX_EXPIRES_IN_SECONDS } from '../provider/bounds.ts'
import { type ProbeResult, probeAccessToken, probeRefreshToken } from '../provider/probe.ts'
import { allowedHost, typedHost } from '../provider/profiles.ts'
import type { Secret } from '../vault/secret.ts'

/** Assumed for a pair when neither the token nor the order has an expiry. */
const UNKNOWN_LIFETIME_MS = 3_600_000

interface ImportOrder {
  integration: string
  domain: string
  accessToken: Secret
  /** `undefined`: a long-lived token, which has none (docs/provider.md, part 10). */
  refreshToken: Secret | undefined
  /** Used when the token has no readable expiry. */
  expiresAt: Date | undefined
  /** Serves the pair without rotating it, because another service still does. */
  shadow: boolean
  /** The generation of the pair that may be replaced. */
  ifGeneration: number | undefined
}

export interface ImportDependencies {
  database: Database
  heartbeat: Heartbeat
  integrations: Integrations
  commitContext: CommitContext
  log: Logger
}

interface Confirmed extends AccountKey {
  domain: string
  apiDomain: string | null
  isAccessDead: boolean
}

/**
 * Imports an existing pair or a long-lived token. Asks the provider which account it belongs to and
 * whether it is alive, which spends nothing. Replaces another pair only if its generation is given.
 * Throws `integration_not_found`, `import_refused`, `account_exists`, `generation_moved`,
 * `provider_unavailable`.
 */
export async function importAccount(
  dependencies: ImportDependencies,
  order: ImportOrder,
  act: Act,
): Promise<{ key: AccountKey; result: ImportResult }> {
  const { heartbeat, integrations, commitContext, database, log } = dependencies
  const integration = await integrations.load(order.integration)
  const claims = decodeAccessToken(order.accessToken.reveal())
  if (claims !== undefined && claims.audience !== integration.clientId) {
    throw refused('foreign_token', 'access_token: it was issued to another integration.')
  }
  const confirmed = await confirm(integration, order, claims)
  const nowMs = heartbeat.nowMs()
  const expiresAt = expiryOf(order, claims, nowMs)
  const imported: Imported = {
    ...confirmed,
    accessToken: order.accessToken,
    refreshToken: order.refreshToken ?? null,
    issuedAt: issuedAtOf(claims, nowMs),
    expiresAt,
    shadow: order.shadow,
  }
  const result = await database.claims.transaction().execute(async (trx) => {
    const stored = await storeImported(commitContext, trx, imported, order.ifGeneration)
    await act.record(trx, { account: confirmed, outcome: stored })
    return stored
  })
  const { accountId: account, domain } = confirmed
  const { name } = integration
  log.info({ integration: name, account, result, shadow: order.shadow }, 'account imported')
  if (domain !== typedHost(integration.profile, order.domain)) {
    log.warn({ integration: name, account, domain }, 'imported account has another domain')
  }
  return { key: confirmed, result }
}

/**
 * Asks the provider which account the tokens belong to, at the API's host, which knows every
 * account, or at the given host. A pair is stored with the domain that the provider confirms.
 */
async function confirm(
  integration: Integration,
  { domain, accessToken, refreshToken }: ImportOrder,
  claims: AccessTokenClaims | undefined,
): Promise<Confirmed> {
  const named = typedHost(integration.profile, domain)
  if (named === undefined) {
    throw refused('foreign_domain', `domain: it is no account of ${integration.provider}.`)
  }
  const apiDomain = allowedHost(integration.profile, claims?.apiDomain ?? '')
  const at = { host: apiDomain ?? named, isApi: apiDomain !== undefined }
  const isProbed = refreshToken !== undefined && integration.profile.probe !== 'none'
  const refresh = isProbed
    ? requireRefreshAlive(await probeRefreshToken(integration, at, refreshToken))
    : undefined
  // The access token is asked at the account's own host, whatever host was named.
  const host = refresh?.domain ?? named
  const access = await probeAccessToken(integration, host, accessToken)
  if (access.state === 'dead' && refresh === undefined && apiDomain !== undefined) {
    await requireRightHost(integration, apiDomain, named, accessToken)
  }
  const proof = refresh ?? requireAlive(access)
  const isAlive = access.state === 'alive'
  const others = [claims?.accountId, isAlive ? access.accountId : undefined]
  if (others.some((each) => each !== undefined && each !== proof.accountId)) {
    throw refused('other_account', 'access_token: it belongs to another account than the pair.')
  }
  return {
    integration: integration.name,
    accountId: proof.accountId,
    domain: proof.domain ?? named,
    apiDomain: apiDomain ?? null,
    // It could be neither read nor confirmed, so it is not served.
    isAccessDead: access.state === 'dead' || (claims === undefined && !isAlive),
  }
}

/**
 * Throws `import_refused` when the API knows an access token that the named host does not: then the
 * host is another account's.
 */
async function requireRightHost(
  integration: Integration,
  apiHost: string,
  named: string,
  accessToken: Secret,
): Promise<void> {
  const { state } = await probeAccessToken(integration, apiHost, accessToken)
  if (state !== 'alive') return
  throw refused(
    'other_account',
    `domain: the token lives, and belongs to another account than ${named}.`,
  )
}

type Alive = ProbeResult & { state: 'alive' }

/** Throws `import_refused` when the refresh token is dead. */
function requireRefreshAlive(result: ProbeResult): Alive {
  if (result.state === 'alive') return result
  const isDead = result.state === 'dead' || result.failure === 'WEAK_401'
  if (!isDead) throw unclear(result.failure)
  throw refused(
    'refresh_token_dead',
    'refresh_token: the provider does not accept it. It was used before, is too old, or the domain is wrong.',
  )
}

/** Throws `import_refused` when the access token is dead. */
function requireAlive(result: ProbeResult): Alive {
  if (result.state === 'alive') return result
  if (result.state === 'unclear') throw unclear(result.failure)
  throw refused(
    'access_token_dead',
    'access_token: the account does not accept it. It was revoked, has expired, or the domain is wrong.',
  )
}

/**
 * Reads when the access token expires: from the token itself, else from the order. A pair gets an
 * hour if neither has it, and is rotated after 30 days at the latest. A long-lived token cannot be
 * rotated, so its expiry is not guessed. Throws `import_refused`.
 */
function expiryOf(
  { expiresAt, refreshToken }: ImportOrder,
  claims: AccessTokenClaims | undefined,
  nowMs: number,
): Date {
  const seconds = claims?.expiresAtSeconds
  const known = seconds === undefined ? expiresAt : new Date(seconds * 1000)
  if (refreshToken !== undefined) {
    const expiresAtMs = known?.getTime() ?? nowMs + UNKNOWN_LIFETIME_MS
    return new Date(Math.min(expiresAtMs, nowMs + MAX_EXPIRES_IN_SECONDS * 1000))
  }
  if (known === undefined) {
    throw refused(
      'expiry_unknown',
      'expires_at: the token has no readable expiry, so give the one that the provider shows.',
    )
  }
  if (known.getTime() > nowMs) return known
  throw refused('access_token_dead', 'access_token: it has expired.')
}

function issuedAtOf(claims: AccessTokenClaims | undefined, nowMs: number): Date {
  const seconds = claims?.issuedAtSeconds
  return new Date(seconds === undefined ? nowMs : seconds * 1000)
}

function refused(reason: string, detail: string): BrokerError {
  return new BrokerError('import_refused', detail, { members: { reason } })
}

function unclear(failure: string): BrokerError {
  const detail = `The provider could not be asked whose the tokens are (${failure}).`
  return new BrokerError('provider_unavailable', detail, { retryAfterSeconds: 5 })
}
