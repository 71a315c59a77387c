import type { Logger } from 'pino'
import type { AccountKey } from '../accounts/account-key.ts'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import { BrokerError } from '../errors.ts'
import type { Integration, Integrations } from '../integrations/service.ts'
import { type AccessTokenClaims, decodeAccessToken } from '../provider/access-token.ts'
import { probeAccessToken, probeRefreshToken, type TokenVerdict } from '../provider/probe.ts'
import { allowedHost, typedHost } from '../provider/profiles.ts'
import type { Committer } from '../refresh/commit.ts'
import type { Secret } from '../vault/secret.ts'
import { type Imported, type ImportResult, storeImported } from './store-imported.ts'

/** When neither the token nor who imports it says how long it lives. */
const UNKNOWN_LIFETIME_MS = 3_600_000

export interface ImportOrder {
  integration: string
  domain: string
  accessToken: Secret
  /** Undefined: a long-lived token, which has none (provider page, part 10). */
  refreshToken: Secret | undefined
  /** Where the token itself does not say it. */
  expiresAt: Date | undefined
  /** Serves the pair and does not rotate it: another service still does. */
  shadow: boolean
  /** Of the pair that may be replaced. */
  ifGeneration: number | undefined
}

export interface ImportDependencies {
  database: Database
  heartbeat: Heartbeat
  integrations: Integrations
  committer: Committer
  log: Logger
}

interface Confirmed extends AccountKey {
  domain: string
  apiDomain: string | null
  isAccessDead: boolean
}

/**
 * Takes over a pair that exists, or a long-lived token. Asks the provider whose it is and whether it lives, which spends
 * nothing; never takes the place of another pair unless its generation is named.
 * Throws `integration_not_found`, `import_refused`, `account_exists`, `generation_moved`, `provider_unavailable`.
 */
export async function importAccount(
  dependencies: ImportDependencies,
  order: ImportOrder,
): Promise<{ key: AccountKey; result: ImportResult }> {
  const { heartbeat, integrations, committer, database, log } = dependencies
  const integration = await integrations.load(order.integration)
  const claims = decodeAccessToken(order.accessToken.reveal())
  if (claims !== undefined && claims.audience !== integration.clientId) {
    throw refused('foreign_token', 'access_token: it was issued to another integration.')
  }
  const confirmed = await confirm(integration, order, claims)
  const nowMs = heartbeat.nowMs()
  const expiresAt = expiryOf(order, claims, nowMs)
  if (order.refreshToken === undefined && expiresAt.getTime() <= nowMs) {
    throw refused('access_token_dead', 'access_token: it has expired.')
  }
  const imported: Imported = {
    ...confirmed,
    accessToken: order.accessToken,
    refreshToken: order.refreshToken ?? null,
    issuedAt: new Date(claims === undefined ? nowMs : claims.issuedAtSeconds * 1000),
    expiresAt,
    shadow: order.shadow,
  }
  const result = await database.claims
    .transaction()
    .execute((trx) => storeImported(committer, trx, imported, order.ifGeneration))
  log.info(
    { integration: integration.name, account: confirmed.accountId, result, shadow: order.shadow },
    'account imported',
  )
  return { key: confirmed, result }
}

/** Whose the tokens are, as the provider says: at the API's host, which knows every account, or at the one that was named. */
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
  const access = await probeAccessToken(integration, named, accessToken)
  const at = { host: apiDomain ?? named, isApi: apiDomain !== undefined }
  const proof =
    refreshToken === undefined || integration.profile.probe === 'none'
      ? judgeAccess(access)
      : judgeRefresh(await probeRefreshToken(integration, at, refreshToken))
  const isAlive = access.verdict === 'alive'
  const others = [claims?.accountId, isAlive ? access.accountId : undefined]
  if (others.some((each) => each !== undefined && each !== proof.accountId)) {
    throw refused('other_account', 'access_token: it belongs to another account than the domain.')
  }
  return {
    integration: integration.name,
    accountId: proof.accountId,
    domain: proof.domain ?? named,
    apiDomain: apiDomain ?? null,
    // Not read and not confirmed: nobody is to be handed it.
    isAccessDead: access.verdict === 'dead' || (claims === undefined && !isAlive),
  }
}

type Alive = TokenVerdict & { verdict: 'alive' }

function judgeRefresh(verdict: TokenVerdict): Alive {
  if (verdict.verdict === 'alive') return verdict
  const isDead = verdict.verdict === 'dead' || verdict.failure === 'WEAK_401'
  if (!isDead) throw unclear(verdict.failure)
  throw refused(
    'refresh_token_dead',
    'refresh_token: the provider does not accept it. It was used before, is too old, or the domain is wrong.',
  )
}

function judgeAccess(verdict: TokenVerdict): Alive {
  if (verdict.verdict === 'alive') return verdict
  if (verdict.verdict === 'unclear') throw unclear(verdict.failure)
  throw refused(
    'access_token_dead',
    'access_token: the account does not accept it. It was revoked, has expired, or the domain is wrong.',
  )
}

function expiryOf(
  { expiresAt }: ImportOrder,
  claims: AccessTokenClaims | undefined,
  nowMs: number,
): Date {
  if (claims !== undefined) return new Date(claims.expiresAtSeconds * 1000)
  return expiresAt ?? new Date(nowMs + UNKNOWN_LIFETIME_MS)
}

function refused(reason: string, detail: string): BrokerError {
  return new BrokerError('import_refused', detail, { members: { reason } })
}

function unclear(failure: string): BrokerError {
  const detail = `The provider could not be asked whose the tokens are (${failure}).`
  return new BrokerError('provider_unavailable', detail, { retryAfterSeconds: 5 })
}
