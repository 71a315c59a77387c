import type { Credential, CredentialKind } from './credentials.ts'
import { createCredential, createCredentials } from './credentials.ts'
import type { Account, Integration } from './directory.ts'
import type { Settings } from './options.ts'
import { createOpaqueTokens, makeAccessToken, tokenId } from './tokens.ts'

export interface Pair {
  accessToken: string
  refreshToken: string
  expiresIn: number
  serverTime: number
}

export interface CurrentPair {
  clientId: string
  accessTokenId: string
  refreshTokenId: string
  issuedAt: number
  pairsIssued: number
}

export interface PairLifetimes {
  accessTtlSeconds?: number | undefined
  refreshTtlSeconds?: number | undefined
}

/**
 * Records every code and token with its state. Issuing, spending and revoking are synchronous, so
 * two requests can never both spend one token.
 */
export function createGrants(settings: Settings) {
  const { clock } = settings
  const opaque = createOpaqueTokens()
  const credentials = createCredentials(clock)
  const current = new Map<string, Map<string, CurrentPair>>()
  let grants = 0

  function issueCode(account: Account, integration: Integration): string {
    return issueOpaque('code', account, integration, nextGrant(), settings.codeTtlSeconds)
  }

  /**
   * Spends a code and issues a new grant with its first pair. The code is dead before this returns.
   */
  function exchange(code: Credential, account: Account, integration: Integration): Pair {
    credentials.bury(code, 'spent')
    if (settings.reauthorizationRevokes) revoke(account, integration.clientId)
    return issuePair(account, integration, code.grantId)
  }

  /** Spends a refresh token and issues a new pair. The old pair is dead before this returns. */
  function refresh(
    token: Credential,
    account: Account,
    integration: Integration,
    keepsOldAccess: boolean,
  ): Pair {
    credentials.bury(token, 'spent')
    for (const credential of credentials.listLive(account.key, integration.clientId)) {
      const isOldAccess = credential.kind === 'access_token' && credential.grantId === token.grantId
      if (isOldAccess && !keepsOldAccess) credentials.bury(credential, 'revoked')
    }
    return issuePair(account, integration, token.grantId)
  }

  /** Issues a pair without a consent, for import tests. */
  function mintPair(account: Account, integration: Integration, lifetimes?: PairLifetimes): Pair {
    return issuePair(account, integration, nextGrant(), lifetimes)
  }

  /** Issues an access token without a refresh token (docs/provider.md, part 10). */
  function mintLongLived(account: Account, integration: Integration, ttlSeconds: number): string {
    return issueAccess(account, integration, nextGrant(), ttlSeconds)
  }

  /** Finds the record of a code or refresh token. Returns undefined for garbage. */
  function findOpaque(token: string, kind: 'code' | 'refresh_token'): Credential | undefined {
    const known = credentials.find(token)
    if (known !== undefined) return known.kind === kind ? known : undefined
    const claims = opaque.open(token)
    if (claims?.kind !== kind) return undefined
    const { account, clientId, expiresAt } = claims
    const seed = { kind, account, clientId, grantId: 0, expiresAt }
    return { ...createCredential(tokenId(token), seed), state: 'spent' }
  }

  /** Finds a live access token that has not expired. */
  function findAccess(token: string): Credential | undefined {
    const found = credentials.find(token)
    return found?.kind === 'access_token' && found.expiresAt > clock() ? found : undefined
  }

  /** Returns the short names of the live refresh tokens of an account at one integration. */
  function liveRefreshTokens(account: Account, clientId: string): string[] {
    return credentials
      .listLive(account.key, clientId)
      .filter(({ kind, expiresAt }) => kind === 'refresh_token' && expiresAt > clock())
      .map(({ id }) => id)
  }

  /**
   * Revokes every live token of an account, or of one integration of that account. Returns the
   * number.
   */
  function revoke(account: Account, clientId?: string): number {
    const found = credentials.listLive(account.key, clientId)
    for (const credential of found) credentials.bury(credential, 'revoked')
    return found.length
  }

  /** Expires live tokens of the given kinds. Returns the number. */
  function expire(account: Account, kinds: CredentialKind[], clientId?: string): number {
    const live = credentials.listLive(account.key, clientId)
    const found = live.filter(({ kind }) => kinds.includes(kind))
    for (const credential of found) credential.expiresAt = clock() - 1
    return found.length
  }

  /** Returns the latest pair of each integration that the account has granted. */
  function currentPairs(account: Account): CurrentPair[] {
    return [...(current.get(account.key)?.values() ?? [])]
  }

  function issuePair(
    account: Account,
    integration: Integration,
    grantId: number,
    lifetimes: PairLifetimes = {},
  ): Pair {
    const expiresIn = lifetimes.accessTtlSeconds ?? settings.accessTtlSeconds
    const refreshTtl = lifetimes.refreshTtlSeconds ?? settings.refreshTtlSeconds
    const accessToken = issueAccess(account, integration, grantId, expiresIn)
    const refreshToken = issueOpaque('refresh_token', account, integration, grantId, refreshTtl)
    noteCurrent(account.key, integration.clientId, accessToken, refreshToken)
    return { accessToken, refreshToken, expiresIn, serverTime: Math.floor(clock() / 1_000) }
  }

  function noteCurrent(account: string, clientId: string, access: string, refreshToken: string) {
    const pairs = current.get(account) ?? new Map<string, CurrentPair>()
    const pair = {
      clientId,
      accessTokenId: tokenId(access),
      refreshTokenId: tokenId(refreshToken),
      issuedAt: clock(),
      pairsIssued: (pairs.get(clientId)?.pairsIssued ?? 0) + 1,
    }
    current.set(account, pairs.set(clientId, pair))
  }

  function issueOpaque(
    kind: 'code' | 'refresh_token',
    account: Account,
    integration: Integration,
    grantId: number,
    ttlSeconds: number,
  ): string {
    integration.installedIn.add(account.key)
    const expiresAt = clock() + ttlSeconds * 1_000
    const owner = { kind, account: account.key, clientId: integration.clientId, expiresAt }
    const token = opaque.seal(owner)
    credentials.add(token, { ...owner, grantId })
    return token
  }

  function issueAccess(
    account: Account,
    integration: Integration,
    grantId: number,
    ttlSeconds: number,
  ): string {
    integration.installedIn.add(account.key)
    const expiresAt = clock() + ttlSeconds * 1_000
    const token = makeAccessToken(accessClaims(account, integration, clock(), expiresAt))
    const owner = { account: account.key, clientId: integration.clientId }
    credentials.add(token, { kind: 'access_token', ...owner, grantId, expiresAt })
    return token
  }

  function nextGrant(): number {
    grants += 1
    return grants
  }

  return {
    issueCode,
    exchange,
    refresh,
    mintPair,
    mintLongLived,
    findOpaque,
    findAccess,
    liveRefreshTokens,
    revoke,
    expire,
    currentPairs,
  }
}

/** Builds the claims of an access token for this account (docs/provider.md, part 7). */
export function accessClaims(
  account: Account,
  integration: Integration,
  issuedAtMs: number,
  expiresAtMs: number,
) {
  return {
    clientId: integration.clientId,
    accountId: account.accountId,
    userId: account.userId,
    baseDomain: account.zone,
    apiDomain: account.apiDomain,
    scopes: integration.scopes,
    issuedAtSeconds: Math.floor(issuedAtMs / 1_000),
    expiresAtSeconds: Math.floor(expiresAtMs / 1_000),
  }
}
