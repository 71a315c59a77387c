import type { Logger } from 'pino'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { Integrations } from '../integrations/service.ts'
import type { RefreshCounters } from '../metrics/refresh-counters.ts'
import type { Claimant } from './claim.ts'
import type { Committer } from './commit.ts'
import type { KeptAnswers } from './kept-answers.ts'
import type { UnderWay } from './under-way.ts'

/** What the steps of a refresh work with. */
export interface Engine {
  claimant: Claimant
  committer: Committer
  integrations: Integrations
  heartbeat: Heartbeat
  keptAnswers: KeptAnswers
  counters: RefreshCounters
  underWay: UnderWay
  lingerMs: number
  log: Logger
}
