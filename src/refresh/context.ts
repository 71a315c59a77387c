import type { Logger } from 'pino'
import type { ClaimContext } from '../claims/claim-context.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { CredentialRecord } from '../integrations/credential-record.ts'
import type { Integrations } from '../integrations/directory.ts'
import type { ResponseJournal } from '../journal/response-journal.ts'
import type { FailureChange } from '../lib/failure-change.ts'
import type { InFlight } from '../lib/in-flight.ts'
import type { CommitContext } from '../pairs/commit-context.ts'
import type { ProviderCall } from '../provider/call.ts'
import type { RefreshCounters } from './counters.ts'

/** What the steps of a refresh work with. */
export interface RefreshContext {
  claimContext: ClaimContext
  commitContext: CommitContext
  responseJournal: ResponseJournal
  heartbeat: Heartbeat
  provider: ProviderAccess
  process: ProcessContext
}

export interface ProviderAccess {
  integrations: Integrations
  credentials: CredentialRecord
  call: ProviderCall
}

interface ProcessContext {
  inFlight: InFlight
  counters: RefreshCounters
  log: Logger
  /** Tracks failures to update the journal after a commit, so that each cause is logged once. */
  tidyFailure: FailureChange
}

/** Whether a step leaves the token to be sent, or has finished the claim. */
export type NextStep = 'send' | 'finished'
