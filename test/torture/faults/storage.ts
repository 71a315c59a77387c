import { setTimeout as delay } from 'node:timers/promises'
import type { Harness } from '../harness.ts'
import type { PostgresCluster } from '../postgres-cluster.ts'
import { untilServed } from '../until-served.ts'
import { between, type Fault, type Random } from './fault.ts'

/** The brokers leave a former primary that lives on within this time. */
const DESERTED_LIMIT_MS = 20_000

interface Work {
  /** Resolves when the server can be written to again. */
  inject(cluster: PostgresCluster, random: Random): Promise<void>
  /** Returns whether every running broker has left the former primary. */
  isLeft?(harness: Harness, cluster: PostgresCluster): Promise<boolean>
  /** The standby has replaced the primary. */
  isReplaced: boolean
}

/** PostgreSQL as hosted databases and failover managers really run it. */
export const storageFaults: Fault[] = [
  storageFault('read_only', {
    isReplaced: false,
    async inject(cluster, random) {
      await cluster.setReadOnly(true)
      await delay(between(2_000, 6_000, random))
      await cluster.setReadOnly(false)
    },
  }),
  storageFault('switchover', {
    isReplaced: true,
    async inject(cluster, random) {
      await cluster.setSynchronous(random() < 0.5)
      // A synchronous standby lacks nothing, even after a crash.
      if (random() < 0.5) await cluster.switchOver()
      else {
        await cluster.setSynchronous(true)
        await cluster.failOver()
      }
    },
  }),
  storageFault('failover_lossy', {
    isReplaced: true,
    async inject(cluster, random) {
      await cluster.setSynchronous(false)
      cluster.stopReplication()
      await delay(between(500, 3_000, random))
      await cluster.failOver()
    },
  }),
  storageFault('old_primary_writable', {
    isReplaced: true,
    async inject(cluster, random) {
      // Commits on the former primary wait for ever when it is synchronous.
      await cluster.setSynchronous(random() < 0.5)
      await cluster.promoteBeside()
    },
    async isLeft({ replicas }, cluster) {
      const sinceMs = Date.now()
      if (await cluster.untilDeserted(DESERTED_LIMIT_MS)) return true
      // The sessions of a stopped process stay.
      return replicas.some((replica) => replica.wasDisturbedSince(sinceMs))
    },
  }),
]

function storageFault(name: string, { inject, isLeft, isReplaced }: Work): Fault {
  return {
    name,
    async inject(harness: Harness, random: Random) {
      const { cluster, incidents } = harness
      if (cluster === undefined) return
      using _turn = await harness.postgresTurn.take()
      if (harness.signal.aborted) return
      const incident = incidents.begin(name)
      await inject(cluster, random)
      const { tookMs, lateCount, slowestLateMs, wasDisturbed } = await untilServed(harness)
      incident.lateCount = lateCount
      incident.slowestLateMs = slowestLateMs
      const isLate = tookMs !== undefined && tookMs > harness.servedLimitMs
      const late = wasDisturbed ? 'late, a replica was stopped' : 'SERVED LATE'
      const outcome = isLate ? late : 'served'
      const isRecovered = tookMs !== undefined && (await isLeft?.(harness, cluster)) !== false
      incidents.end(incident, isRecovered ? outcome : 'NOT RECOVERED', tookMs)
      if (isReplaced) await cluster.rebuild()
    },
  }
}
