import type { Generated, GeneratedAlways } from 'kysely'
import type { GeneratedTime } from './generated-time.ts'

type AttemptOutcome = 'committed' | 'refused' | 'not_sent' | 'lost' | 'superseded'

type AttemptPurpose = 'refresh' | 'canary' | 'verdict'

/** What happened to an attempt, and when. */
interface AttemptStep {
  kind: string
  at: string
  owner: string
  result?: string
}

/** The ledger of refreshes. */
export interface RefreshAttemptTables {
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
    steps: Generated<AttemptStep[]>
  }
}
