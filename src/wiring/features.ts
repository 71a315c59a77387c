import { AccountChecks } from '../accounts/account-checks.ts'
import { AccountCounts } from '../accounts/account-counts.ts'
import { Forecasts } from '../accounts/forecast.ts'
import { ConnectLinks } from '../connect-links/links.ts'
import { verifyAccount } from '../refresh/verify-account.ts'
import { TokenCache } from '../tokens/cache.ts'
import { TokenLookup } from '../tokens/lookup.ts'
import { ReadMarks } from '../tokens/read-marks.ts'
import { createTokens } from '../tokens/service.ts'
import { wireAccess } from './access.ts'
import { wireConsole } from './console.ts'
import { wireDeliveries } from './deliveries.ts'
import { wireEscrow } from './escrow.ts'
import { wireEvents } from './events.ts'
import type { Foundation } from './foundation.ts'
import { wireHistory } from './history.ts'
import { wireMonitoring } from './monitoring.ts'
import { wireOnboarding } from './onboarding.ts'
import { wireRefreshing } from './refreshing.ts'

export type Features = ReturnType<typeof wireFeatures>

/** Puts the features together. */
export function wireFeatures(foundation: Foundation) {
  const { common, config, redis, health, metrics, commitContext, hash } = foundation
  const { database, heartbeat, integrations } = common
  const refreshing = wireRefreshing(foundation)
  const cache = new TokenCache(heartbeat, config.cacheAccounts)
  const lookup = new TokenLookup({
    database,
    keyRing: config.keyRing,
    cache,
    minRestMs: config.minRestMs,
    knowsIntegration: (name) => integrations.find(name) !== undefined,
  })
  const linkHash = hash('connect-link')
  const links = new ConnectLinks(database, integrations, linkHash)
  const marks = new ReadMarks(database)
  const { readWaitMs, heartbeatMs } = config
  const { refresher, claimContext } = refreshing
  const { owner } = foundation
  const reading = { refresher, cache, lookup, links, marks, readWaitMs, heartbeatMs, owner }
  const tokens = createTokens({ ...common, ...reading })
  const verifier = { db: database.db, claimContext, commitContext, provider: refreshing.provider }
  const verify = (key: Parameters<typeof verifyAccount>[1]) => verifyAccount(verifier, key)
  const access = wireAccess(foundation)
  return {
    health,
    metrics,
    database,
    redis,
    integrations,
    deploymentId: config.deploymentId,
    /** The public listener as browsers reach it; null: not set. */
    publicUrl: config.publicUrl,
    refreshing,
    cache,
    lookup,
    links,
    marks,
    tokens,
    accountCounts: new AccountCounts(database),
    forecasts: new Forecasts(database),
    escrow: wireEscrow(foundation),
    checks: new AccountChecks({ database, integrations, reader: tokens.reader, verify }),
    importer: { ...common, commitContext },
    ...access,
    monitoring: wireMonitoring(foundation, { ...refreshing, ...access, cache }),
    ...wireConsole(foundation, access.directory),
    events: wireEvents(foundation),
    ...wireDeliveries(foundation),
    historyCheck: wireHistory(foundation),
    ...wireOnboarding(foundation, refreshing, links, linkHash),
  }
}
