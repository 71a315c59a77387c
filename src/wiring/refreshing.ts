import { ExpiryWatch } from '../accounts/expiry-watch.ts'
import { claimPoolSizeFor } from '../db/claim-pool.ts'
import { integrationLabels } from '../integrations/integration-labels.ts'
import { RedisCopies } from '../journal/redis-copies.ts'
import { ResponseJournal } from '../journal/response-journal.ts'
import { systemClock } from '../lib/clock.ts'
import { FailureChange } from '../lib/failure-change.ts'
import { InFlight } from '../lib/in-flight.ts'
import { call } from '../provider/call.ts'
import { createRefreshCounters } from '../refresh/counters.ts'
import { Gap } from '../refresh/gap.ts'
import { RefreshLock } from '../refresh/lock.ts'
import { recheckWork } from '../refresh/recheck.ts'
import { Refresher } from '../refresh/refresh.ts'
import { Scheduler } from '../refresh/scheduler.ts'
import { Sweeper, sweepIntervalMs } from '../refresh/sweeper.ts'
import { tokenCheckWork } from '../refresh/token-checks.ts'
import { Waiters } from '../refresh/waiters.ts'
import type { Foundation } from './foundation.ts'

export type Refreshing = ReturnType<typeof wireRefreshing>

/** Puts together the protocol of the refresh and its periodic work. */
export function wireRefreshing(foundation: Foundation) {
  const { common, credentials, config, redis, owner, keyRing, spool, commitContext, metrics } =
    foundation
  const { database, heartbeat, integrations, log } = common
  const { deploymentId, sendLimitMs, settleMs, breakerMs, lingerMs, minRestMs } = config
  const copies = redis === null ? null : new RedisCopies(redis, deploymentId)
  const responseJournal = new ResponseJournal(spool, copies, keyRing, log, {
    isFlushedFirst: config.mode === 'embedded',
  })
  const expiryWatch = new ExpiryWatch(database, log)
  const claimContext = {
    claims: database.claims,
    owner,
    deploymentId: foundation.sendsFor,
    keyIds: keyRing.keyIds,
    limits: { sendLimitMs, lingerMs, settleMs, breakerMs, minRestMs },
    hasSecondPlace: () => responseJournal.hasSecondPlace(),
    hasGap: (): boolean => gap.isOpen,
    clock: systemClock,
  }
  const inFlight = new InFlight()
  const provider = { integrations, credentials, call }
  const counters = createRefreshCounters(metrics, integrationLabels(integrations))
  const process = { inFlight, counters, log, tidyFailure: new FailureChange() }
  const contexts = { claimContext, commitContext }
  const context = { ...contexts, responseJournal, heartbeat, provider, process }
  const gap = new Gap(context)
  const waiters = new Waiters()
  const lock = new RefreshLock(redis, deploymentId, systemClock, log)
  const refresher = new Refresher(context, lock, waiters)
  const scheduler = new Scheduler(context, refresher, claimPoolSizeFor(config.pacePerSecond))
  const sweeper = new Sweeper(context, refresher, config.attemptDays)
  const recheck = recheckWork(context, sweepIntervalMs(context))
  const tokenChecks = tokenCheckWork(context, config.checkIntervalMinutes)
  return {
    context,
    claimContext,
    provider,
    inFlight,
    responseJournal,
    gap,
    expiryWatch,
    waiters,
    refresher,
    scheduler,
    sweeper,
    recheck,
    tokenChecks,
  }
}
