import type { ColumnType, Generated } from 'kysely'
import type { Profile, ProviderName } from '../../provider/profile-table.ts'
import type { GeneratedTime } from './generated-time.ts'

/** The integration that a button creates. */
export interface ExternalSeed {
  provider: ProviderName
  redirectUri: string
  sandboxOrigin: string | null
  profile: Partial<Profile>
}

/** The same with a keyed hash, so that a write to the table does not decide where secrets go. */
export interface SignedSeed extends ExternalSeed {
  mac: string
}

/** Connect links, stored callbacks, and exchanges for an API key. */
export interface OnboardingTables {
  amo_connect_links: {
    id: Generated<string>
    tokenHash: string
    integration: string | null
    external: ColumnType<SignedSeed | null, string | undefined, string>
    secretsAt: Date | null
    openerOrigin: string | null
    mode: 'popup' | 'post_message'
    expectedAccount: string | null
    createdBy: string
    createdAt: GeneratedTime
    expiresAt: Date
    openedAt: Date | null
    problem: string | null
    problemAt: Date | null
    usedAt: Date | null
    usedByAccountId: number | null
  }
  amo_inbox: {
    id: Generated<string>
    kind: 'callback' | 'disconnect'
    origin: 'consent' | 'install' | 'exchange' | 'manual' | 'hook'
    integration: string
    fingerprint: string
    secret: string | null
    pair: string | null
    pairSentAt: Date | null
    referer: string | null
    linkId: string | null
    browserHash: string | null
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
  amo_known_codes: {
    fingerprint: string
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
}
