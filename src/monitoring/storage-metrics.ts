import { Gauge, type Registry } from '@prometheus-io/client'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { RedisWatch } from '../db/redis-watch.ts'
import type { ResponseJournal } from '../journal/response-journal.ts'

const STATES = ['writable', 'read_only', 'unreachable'] as const

interface StorageSources {
  database: Pick<Database, 'storage' | 'pools'>
  heartbeat: Pick<Heartbeat, 'ageMs'>
  /** Null: not configured. */
  redisWatch: Pick<RedisWatch, 'reason'> | null
  responseJournal: Pick<ResponseJournal, 'problem' | 'openCount'>
}

/** Registers the gauges of PostgreSQL, Redis and the journal. Each replica has its own. */
export function registerStorageMetrics(registry: Registry, sources: StorageSources): void {
  const { database, heartbeat, redisWatch, responseJournal } = sources
  const registers = [registry]
  new Gauge({
    name: 'amo_storage_state',
    help: '1 for the present state of PostgreSQL, 0 for the others; max over replicas',
    labelNames: ['state'] as const,
    registers,
    collect() {
      for (const state of STATES) this.set({ state }, database.storage.state === state ? 1 : 0)
    },
  })
  new Gauge({
    name: 'amo_echo_age_seconds',
    help: 'Age of the newest heartbeat that came back through LISTEN, before the first one the age of the process; the cache is trusted below HEARTBEAT_MS; max over replicas',
    registers,
    collect() {
      // Before the first echo the age is infinite, which no graph can show.
      this.set(Math.min(heartbeat.ageMs(), performance.now()) / 1000)
    },
  })
  new Gauge({
    name: 'amo_redis_down',
    help: '1 while commands to Redis fail, 0 also where Redis is not configured; max over replicas',
    registers,
    collect() {
      this.set(redisWatch?.reason === undefined ? 0 : 1)
    },
  })
  new Gauge({
    name: 'amo_journal_degraded',
    help: '1 when responses of the provider are not written to DATA_DIR, or it is shared; max over replicas',
    registers,
    collect() {
      this.set(responseJournal.problem() === null ? 0 : 1)
    },
  })
  new Gauge({
    name: 'amo_kept_answers_open',
    help: 'Provider responses on this disk that are not known to be committed; sum over replicas',
    registers,
    collect() {
      this.set(responseJournal.openCount)
    },
  })
  registerPools(registry, database)
}

/** Registers the gauges of the connection pools. Embedded storage has none. */
function registerPools(registry: Registry, { pools }: Pick<Database, 'pools'>): void {
  const registers = [registry]
  const labelNames = ['pool'] as const
  new Gauge({
    name: 'amo_pool_size',
    help: 'Connections that a pool may have; sum over replicas',
    labelNames,
    registers,
    collect() {
      for (const { pool, size } of pools()) this.set({ pool }, size)
    },
  })
  new Gauge({
    name: 'amo_pool_used',
    help: 'Connections of a pool that are in use; sum over replicas',
    labelNames,
    registers,
    collect() {
      for (const { pool, used } of pools()) this.set({ pool }, used)
    },
  })
  new Gauge({
    name: 'amo_pool_waiting',
    help: 'Queries that wait for a connection of a pool; sum over replicas',
    labelNames,
    registers,
    collect() {
      for (const { pool, waiting } of pools()) this.set({ pool }, waiting)
    },
  })
}
