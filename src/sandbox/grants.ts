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

export type Grants = ReturnType<typeof createGrants>

/**
 * Every code and token, and what became of it. Issuing, spending and revoking are synchronous:
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

  /** Spends a code: a new grant and its first pair. The code is dead before this returns. */
  function exchange(code: Credential, account: Account, integration: Integration): Pair {
    credentials.bury(code, 'spent')
    if (settings.reauthorizationRevokes) revoke(account, integration.clientId)
    return issuePair(account, integration, code.grantId)
  }

  /** Spends a refresh token: the old pair is dead before this returns. */
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

  /** A pair that no consent preceded, for import tests. */
  function mintPair(account: Account, integration: Integration, lifetimes?: PairLifetimes): Pair {
    return issuePair(account, integration, nextGrant(), lifetimes)
  }

  /** An access token without a refresh token (provider.md 10). */
  function mintLongLived(account: Account, integration: Integration, ttlSeconds: number): string {
    return issueAccess(account, integration, nextGrant(), ttlSeconds)
  }

  /** Finds what a presented code or refresh token is; undefined is garbage. */
  function findOpaque(token: string, kind: 'code' | 'refresh_token'): Credential | undefined {
    const known = credentials.find(token)
    if (known !== undefined) return known.kind === kind ? known : undefined
    const claims = opaque.open(token)
    if (claims?.kind !== kind) return undefined
    const { account, clientId, expiresAt } = claims
    const seed = { kind, account, clientId, grantId: 0, expiresAt }
    return { ...createCredential(tokenId(token), seed), state: 'spent' }
  }

  /** Finds a live, unexpired access token. */
  function findAccess(token: string): Credential | undefined {
    const found = credentials.find(token)
    return found?.kind === 'access_token' && found.expiresAt > clock() ? found : undefined
  }

  /** The live refresh tokens of an account at one integration, by their short names. */
  function liveRefreshTokens(account: Account, clientId: string): string[] {
    return credentials
      .listLive(account.key, clientId)
      .filter(({ kind, expiresAt }) => kind === 'refresh_token' && expiresAt > clock())
      .map(({ id }) => id)
  }

  /** Kills every live token of an account, or of one integration there; says how many. */
  function revoke(account: Account, clientId?: string): number {
    const found = credentials.listLive(account.key, clientId)
    for (const credential of found) credentials.bury(credential, 'revoked')
    return found.length
  }

  /** Lets live tokens of the given kinds run out now; says how many. */
  function expire(account: Account, kinds: CredentialKind[], clientId?: string): number {
    const live = credentials.listLive(account.key, clientId)
    const found = live.filter(({ kind }) => kinds.includes(kind))
    for (const credential of found) credential.expiresAt = clock() - 1
    return found.length
  }

  /** The pair issued last, of each integration that the account has granted. */
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

/** The claims of an access token for this account (provider.md 7). */
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
