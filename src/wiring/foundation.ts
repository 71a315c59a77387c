import { randomUUID } from 'node:crypto'
import { Registry } from '@prometheus-io/client'
import type { Logger } from 'pino'
import type { Config } from '../config/load-config.ts'
import { Binding } from '../db/binding.ts'
import type { Database } from '../db/database.ts'
import { Heartbeat } from '../db/heartbeat.ts'
import type { RedisClient } from '../db/redis.ts'
import { RedisWatch } from '../db/redis-watch.ts'
import { CredentialRecord } from '../integrations/credential-record.ts'
import { Integrations } from '../integrations/directory.ts'
import { Spool } from '../journal/spool.ts'
import { Keys } from '../keys/service.ts'
import { systemClock } from '../lib/clock.ts'
import { Health } from '../monitoring/health.ts'
import { type HashPurpose, KeyedHash } from '../vault/keyed-hash.ts'

export type Foundation = ReturnType<typeof layFoundation>

/** Makes the parts that nearly every feature is built on. */
export function layFoundation(
  config: Config,
  log: Logger,
  database: Database,
  redis: RedisClient | null,
) {
  // The id of this start: a restarted process owns nothing of what it owned before.
  const owner = randomUUID()
  const { keyRing, deploymentId, mode, isHeld, dataDir } = config
  const heartbeat = new Heartbeat(database, owner, config.heartbeatMs, log)
  const hash = (purpose: HashPurpose) => new KeyedHash(() => binding.rootSecret, purpose)
  const integrations = new Integrations(database, keyRing, log)
  const spool = new Spool(dataDir)
  const keys = new Keys({ database, redis, spool, keyRing, deploymentId, log })
  const redisWatch =
    redis === null ? null : new RedisWatch(redis, deploymentId, database.storage, log)
  const watched = { heartbeat, integrations, redis: redisWatch, keys, spool }
  const health = new Health({ mode, isHeld, ...watched })
  const onChange = (boundTo: string | null) => {
    health.boundTo = boundTo
  }
  const binding = new Binding({ db: database.db, keyRing, deploymentId, onChange, log })
  const { claims } = database
  return {
    config,
    redis,
    redisWatch,
    owner,
    keyRing,
    spool,
    keys,
    health,
    binding,
    hash,
    metrics: new Registry(),
    common: { database, heartbeat, integrations, log },
    credentials: new CredentialRecord(database, keyRing, integrations, log),
    commitContext: {
      claims,
      owner,
      keyRing,
      fingerprints: hash('fingerprint'),
      clock: systemClock,
    },
    // Each claim asks whether the database is bound to this deployment. With --hold there is none.
    sendsFor: isHeld ? null : deploymentId,
  }
}
