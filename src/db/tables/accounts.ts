import type { ColumnType, Generated } from 'kysely'
import type { GeneratedTime } from './generated-time.ts'

export type AccountStatus = 'pending' | 'active' | 'reauth_required' | 'disconnected'

/** The accounts with their pairs, their labels, and the marks of removed ones. */
export interface AccountTables {
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
    checkedAt: Date | null
    suspectAt: Date | null
    lastErrorCode: string | null
    lastErrorAt: Date | null
    paused: Generated<boolean>
    shadow: Generated<boolean>
    isRestored: Generated<boolean>
    statusSince: GeneratedTime
    createdAt: GeneratedTime
    updatedAt: GeneratedTime
  }
  amo_account_labels: {
    integration: string
    accountId: number
    label: string
    words: ColumnType<never, string, string>
    updatedAt: ColumnType<Date, never, Date>
  }
  /** A view: the number of accounts, by integration and status. */
  amo_account_counts: {
    integration: string
    status: AccountStatus
    accounts: number
  }
  amo_removals: {
    integration: string
    accountId: number
    generation: number
    removedAt: GeneratedTime
    clearedAt: Date | null
  }
}
