import type { Logger } from 'pino'
import type { Config } from './config/load-config.ts'
import { awaitSchema, untilStorageAllows } from './db/await-schema.ts'
import { openDatabase, type Subscription } from './db/database.ts'
import { failureOf } from './db/failures.ts'
import type { RedisClient } from './db/redis.ts'
import { requireNotifications } from './db/require-notifications.ts'
import { parseAccountNotification } from './lib/account-key.ts'
import type { PeriodicTask } from './lib/periodic-task.ts'
import type { GapKind } from './refresh/gap.ts'
import type { Secret } from './vault/secret.ts'
import { type Features, wireFeatures } from './wiring/features.ts'
import { type Foundation, layFoundation } from './wiring/foundation.ts'
import { taskOf } from './wiring/task-of.ts'

/** The broker without HTTP and without the process: every feature, and how it starts and ends. */
export type Broker = Features & Life

interface Life {
  /**
   * Resolves when requests can be served. Waits for PostgreSQL and its migrations as long as it
   * takes.
   */
  start(): Promise<void>
  /** Refreshes only for readers who wait. Requests are still served, and readiness is 503. */
  beginDraining(): void
  /**
   * Waits until responses on their way are committed, then closes everything, the last opened
   * first.
   */
  close(): Promise<void>
}

/**
 * Opens storage and puts the features together. When a step fails, closes what was opened before
 * and throws.
 */
export async function openBroker(config: Config, log: Logger): Promise<Broker> {
  await using opening = new AsyncDisposableStack()
  const database = await openDatabase(config, log)
  opening.defer(() => database.close())
  const redis = config.redisUrl === null ? null : await connectRedis(config.redisUrl, log)
  opening.defer(() => redis?.disconnect())
  const foundation = layFoundation(config, log, database, redis)
  const { redisWatch } = foundation
  await redisWatch?.start()
  opening.defer(() => redisWatch?.stop())
  opening.defer(() => foundation.spool.health.release())
  const features = wireFeatures(foundation)
  return { ...features, ...makeLife(foundation, features, opening.move()) }
}

/** Opens Redis. Loads its client only where Redis is configured. */
async function connectRedis(url: Secret, log: Logger): Promise<RedisClient> {
  const { openRedis } = await import('./db/redis.ts')
  return await openRedis(url, log)
}

/** @param open What is open. Everything that starts later registers its end there. */
function makeLife(foundation: Foundation, features: Features, open: AsyncDisposableStack): Life {
  const draining = new AbortController()
  const due = taskOf(foundation, features.refreshing.scheduler)
  let starting: Promise<void> | undefined
  const beginDraining = () => {
    foundation.health.phase = 'draining'
    draining.abort()
    features.events.feed.close()
    // Other replicas take over what is due.
    void due.stop()
  }
  return {
    start() {
      starting ??= start(foundation, features, due, open, draining.signal)
      return starting
    },
    beginDraining,
    async close() {
      beginDraining()
      await starting?.catch(() => {})
      await open.disposeAsync()
    },
  }
}

async function start(
  foundation: Foundation,
  features: Features,
  due: PeriodicTask,
  open: AsyncDisposableStack,
  draining: AbortSignal,
): Promise<void> {
  const { config, health, binding, common } = foundation
  const { database, heartbeat, log } = common
  const { mode } = config
  const onUnmigrated = () => {
    health.phase = 'unmigrated'
  }
  const { startLimitMs } = config
  const wait = { isEmbedded: mode === 'embedded', startLimitMs, signal: draining, onUnmigrated }
  await awaitSchema(database, wait, log)
  if (draining.aborted) return
  await untilStorageAllows(() => binding.bind(), draining, log)
  await untilStorageAllows(() => seedIntegrations(foundation), draining, log)
  if (draining.aborted) return
  await features.directory.reload()
  // A promoted standby, or another server behind the address, may have forgotten commits.
  database.storage.onFailover(() => features.refreshing.gap.onGap('timeline'))
  await database.listen(subscriptionOf(foundation, features))
  open.defer(() => heartbeat.stop())
  await heartbeat.start()
  await requireNotifications(database, heartbeat)
  if (draining.aborted) return
  open.defer(features.monitoring.loopWatch.start())
  startWork(foundation, features, due, open)
  features.events.start(open)
  features.deliveries.start(open)
  health.phase = 'ready'
  log.info({ mode }, 'broker ready')
}

/**
 * Applies the integrations of the environment. On a server without writes, reads what is stored and
 * applies them when it can be written to.
 */
async function seedIntegrations({ config, commitContext, common }: Foundation): Promise<void> {
  const { database, integrations, log } = common
  const seed = () => integrations.seed(config, commitContext.fingerprints)
  try {
    await seed()
  } catch (error) {
    if (failureOf(error) !== 'read_only') throw error
    await integrations.reload()
    let isSeeded = false
    database.storage.onWritable(() => {
      if (isSeeded) return
      isSeeded = true
      seed().catch((err) => {
        isSeeded = false
        log.warn({ err }, 'integrations of the environment were not applied')
      })
    })
  }
}

/**
 * Starts everything that runs in the background. Ends are registered in the opposite order of
 * closing.
 */
function startWork(
  foundation: Foundation,
  features: Features,
  due: PeriodicTask,
  open: AsyncDisposableStack,
): void {
  const { keys, common } = foundation
  const { refreshing, onboarding, retention, disconnects, audit, sealer, marks } = features
  const { accountCounts, historyCheck, escrow } = features
  const { refresher, sweeper, recheck, tokenChecks, inFlight, expiryWatch } = refreshing
  const works = [
    onboarding,
    onboarding.unprovenLane,
    retention,
    disconnects,
    keys,
    audit,
    sealer,
    marks,
    expiryWatch,
    accountCounts,
    ...(escrow === null ? [] : [escrow]),
    historyCheck,
  ]
  const tasks = works.map((work) => taskOf(foundation, work))
  const repairs = [sweeper, recheck, tokenChecks].map((work) => taskOf(foundation, work))
  open.defer(() => marks.close())
  open.defer(() => escrow?.close())
  open.defer(() => sealer.close())
  open.defer(() => audit.close())
  // Claims in progress, and responses that may still arrive.
  open.defer(() => inFlight.drain())
  open.defer(async () => {
    await Promise.all([onboarding.stop(), ...tasks.map((task) => task.stop())])
  })
  open.defer(async () => {
    refresher.stop()
    await Promise.all([due, ...repairs].map((task) => task.stop()))
  })
  const all = [...repairs, due, ...tasks]
  for (const task of all) task.start()
  common.database.storage.onWritable(() => {
    for (const task of all) task.runNow()
  })
}

/** Returns what to do with each notification of the database (sql/008_notifications.sql). */
function subscriptionOf(
  { binding, common }: Foundation,
  { cache, directory, refreshing, tokens, events, deliveries }: Features,
): Subscription {
  const { heartbeat, integrations } = common
  const { waiters, responseJournal, gap } = refreshing
  const { onAnnounced, onAcknowledged } = tokens.acknowledgements
  let kind: GapKind = 'started'
  const onConnected = () => {
    gap.onGap(kind)
    kind = 'reconnected'
    onMissed()
  }
  const onMissed = () => {
    cache.onGap()
    waiters.wakeAll()
    responseJournal.reopen()
    void integrations.reload()
    void directory.reload()
    void binding.reload()
  }
  const onToken = (payload: string) => {
    const change = parseAccountNotification(payload)
    if (change === undefined) return onMissed()
    cache.onChange(change, change.generation)
    waiters.wake(change)
  }
  const onAccount = (payload: string) => {
    cache.onAccountsChange()
    const change = parseAccountNotification(payload)
    if (change !== undefined) responseJournal.reopen(change)
  }
  const onAdopted = () => {
    gap.onGap('adopted')
    void binding.reload()
  }
  const channels = new Map<string, (payload: string) => void>([
    ['amo_tokens', onToken],
    ['amo_accounts', onAccount],
    ['amo_integrations', () => void integrations.reload()],
    ['amo_deployment', onAdopted],
    ['amo_announced', onAnnounced],
    ['amo_acknowledged', onAcknowledged],
    ['amo_clients', () => void directory.reload()],
    ...events.channels,
    ['amo_deliveries', deliveries.wake],
    [heartbeat.channel, heartbeat.onEcho],
  ])
  return { channels, onConnected }
}
