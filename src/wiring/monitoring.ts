import type { ExpiryWatch } from '../accounts/expiry-watch.ts'
import type { AuditLog } from '../audit/log.ts'
import type { ClientDirectory } from '../clients/directory.ts'
import { integrationLabels } from '../integrations/integration-labels.ts'
import type { ResponseJournal } from '../journal/response-journal.ts'
import { systemClock } from '../lib/clock.ts'
import { registerAccountMetrics } from '../monitoring/account-metrics.ts'
import { DatabaseSnapshot } from '../monitoring/database-snapshot.ts'
import { registerIntegrationMetrics } from '../monitoring/integration-metrics.ts'
import { LoopWatch } from '../monitoring/loop-watch.ts'
import { registerProcessMetrics } from '../monitoring/process-metrics.ts'
import { ReadMetrics } from '../monitoring/read-metrics.ts'
import { registerRefreshMetrics } from '../monitoring/refresh-metrics.ts'
import { createRequestMetrics } from '../monitoring/request-metrics.ts'
import { registerStorageMetrics } from '../monitoring/storage-metrics.ts'
import { registerUpkeepMetrics } from '../monitoring/upkeep-metrics.ts'
import type { TokenCache } from '../tokens/cache.ts'
import type { Foundation } from './foundation.ts'

interface Monitored {
  responseJournal: ResponseJournal
  expiryWatch: ExpiryWatch
  cache: TokenCache
  audit: AuditLog
  directory: ClientDirectory
}

/**
 * Registers the metrics that look at the features. A feature that counts something itself registers
 * its counter in `foundation.metrics` where it is wired, as the refresh and the onboarding do.
 */
export function wireMonitoring(foundation: Foundation, features: Monitored) {
  const { metrics, common, config, redisWatch, health, keys } = foundation
  const { database, heartbeat, integrations } = common
  const { responseJournal, expiryWatch, cache, audit, directory } = features
  const snapshot = new DatabaseSnapshot(database)
  const labels = integrationLabels(integrations)
  registerProcessMetrics(metrics, config.mode)
  registerStorageMetrics(metrics, { database, heartbeat, redisWatch, responseJournal })
  registerIntegrationMetrics(metrics, integrations, () => {
    if (config.isHeld) return 'hold'
    return health.boundTo === null ? null : 'deployment'
  })
  registerAccountMetrics(metrics, snapshot, labels, expiryWatch)
  registerRefreshMetrics(metrics, snapshot, labels)
  registerUpkeepMetrics(metrics, snapshot, keys)
  return {
    reads: new ReadMetrics(metrics, { audit, cache, clients: directory }),
    requests: createRequestMetrics(metrics),
    loopWatch: new LoopWatch(metrics, systemClock),
  }
}
