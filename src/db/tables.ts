import type { ColumnType, Generated, GeneratedAlways } from 'kysely'
import type { Grant, Role } from '../clients/caller.ts'
import type { StoredKey } from '../clients/store.ts'
import type { Profile, ProviderName } from '../provider/profiles.ts'

type GeneratedTime = ColumnType<Date, never, Date>
type State = 'running' | 'paused' | 'halted'
export type AccountStatus = 'pending' | 'active' | 'reauth_required' | 'disconnected'
export type AttemptOutcome =
  | 'committed'
  | 'refused'
  | 'not_sent'
  | 'ambiguous'
  | 'lost'
  | 'superseded'

export type AttemptPurpose = 'refresh' | 'canary' | 'verdict'

/** An answer that counts against the provider, as a breaker remembers it for a minute. */
export interface BreakerFailure {
  account: string
  code: string
  /** It may have spent the token. */
  isAmbiguous: boolean
  /** PostgreSQL's time, milliseconds since 1970. */
  atMs: number
}

/** The integration that a button is to make. */
export interface ExternalSeed {
  provider: ProviderName
  redirectUri: string
  sandboxOrigin: string | null
  profile: Partial<Profile>
}

/** The tables of `sql/`, for Kysely. What each column means stands there. */
export interface Tables {
  amo_deployment: {
    onlyRow: Generated<boolean>
    deploymentId: string
    rootSecret: string
    createdAt: GeneratedTime
  }
  amo_integrations: {
    name: string
    provider: ProviderName
    clientId: string
    clientSecret: string
    nextClientSecret: string | null
    redirectUri: string
    profile: ColumnType<Record<string, unknown>, string | undefined, string>
    sandboxOrigin: string | null
    acceptsInstalls: Generated<boolean>
    external: Generated<boolean>
    provisionalUntil: Date | null
    state: Generated<State>
    stateReason: string | null
    lastErrorCode: string | null
    lastErrorAt: Date | null
    condemnedAt: Generated<Date[]>
    envDigest: string | null
    pacePerSecond: Generated<number>
    paceTokens: Generated<number>
    paceAt: GeneratedTime
    createdAt: GeneratedTime
    updatedAt: GeneratedTime
  }
  amo_tokens: {
    integration: string
    accountId: number
    domain: string | null
    apiDomain: string | null
    kind: Generated<'oauth' | 'long_lived'>
    status: AccountStatus
    approvedAt: Date | null
    accessToken: string
    refreshToken: string | null
    refreshTokenFingerprint: string | null
    generation: number
    issuedAt: Date
    expiresAt: Date
    refreshAt: Date | null
    nextAttemptAt: Date | null
    failedAttempts: Generated<number>
    accessDeadAt: Date | null
    refreshTokenExpiresAt: Date | null
    lastReadAt: Date | null
    lastRefreshAt: Date | null
    lastErrorCode: string | null
    lastErrorAt: Date | null
    paused: Generated<boolean>
    shadow: Generated<boolean>
    createdAt: GeneratedTime
    updatedAt: GeneratedTime
  }
  amo_refresh_attempts: {
    id: GeneratedAlways<number>
    integration: string
    accountId: number
    generation: number
    refreshTokenFingerprint: string
    owner: string
    leaseUntil: Date
    sendCount: Generated<number>
    claimedAt: GeneratedTime
    sentAt: Date | null
    finishedAt: Date | null
    outcome: AttemptOutcome | null
    outcomeCode: string | null
    committedFingerprint: string | null
    parkedPair: string | null
    purpose: Generated<AttemptPurpose>
  }
  amo_breakers: {
    key: string
    failures: ColumnType<BreakerFailure[], string | undefined, string>
    openUntil: Date | null
    openedAt: Date | null
    reason: string | null
    openings: Generated<number>
    closedAt: Date | null
  }
  /** A view: the breakers of amo_breakers that are open, with each integration behind them. */
  amo_open_breakers: {
    integration: string
    key: string
    openUntil: Date
    openedAt: Date
    reason: string
  }
  /** A view. */
  amo_breaker_scopes: {
    integration: string
    scope: 'platform' | 'integration'
    key: string
  }
  amo_inbox: {
    id: Generated<string>
    kind: 'callback' | 'disconnect' | 'secrets'
    origin: 'consent' | 'install' | 'exchange' | 'manual' | 'hook'
    integration: string
    fingerprint: string
    secret: string | null
    pair: string | null
    pairSentAt: Date | null
    referer: string | null
    linkId: string | null
    exchangeId: string | null
    receivedAt: ColumnType<Date, Date | undefined, Date>
    owner: string | null
    leaseUntil: Date | null
    presentedAt: Date | null
    nextAttemptAt: ColumnType<Date, never, Date>
    finishedAt: Date | null
    outcome: string | null
    accountId: number | null
    domain: string | null
  }
  amo_removals: {
    integration: string
    accountId: number
    generation: number
    removedAt: GeneratedTime
    clearedAt: Date | null
  }
  amo_exchanges: {
    id: Generated<string>
    integration: string
    domain: string
    userHash: string
    createdBy: string
    createdAt: GeneratedTime
    outcome: string | null
    finishedAt: Date | null
  }
  amo_connect_links: {
    id: Generated<string>
    tokenHash: string
    integration: string | null
    external: ColumnType<ExternalSeed | null, string | undefined, string>
    secretsAt: Date | null
    openerOrigin: string | null
    mode: 'popup' | 'post_message'
    expectedAccount: string | null
    createdBy: string
    createdAt: GeneratedTime
    expiresAt: Date
    usedAt: Date | null
    usedByAccountId: number | null
  }
  amo_clients: {
    name: string
    role: Role
    keys: ColumnType<StoredKey[], string, string>
    grants: ColumnType<Grant[], string, string>
    revokedAt: Date | null
    createdAt: GeneratedTime
    updatedAt: GeneratedTime
  }
  amo_audit: {
    id: GeneratedAlways<number>
    at: GeneratedTime
    actor: string
    action: string
    integration: string | null
    accountId: number | null
    generation: number | null
    outcome: string
    times: Generated<number>
    detail: ColumnType<Record<string, unknown>, string, never>
    mac: string | null
    seq: number | null
  }
  amo_audit_head: {
    onlyRow: Generated<boolean>
    seq: number
    mac: string
    cutSeq: number
    cutMac: string
    cutSignature: string
  }
}
