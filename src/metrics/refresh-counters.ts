import { Counter, Histogram, type Registry } from 'prom-client'

/** Milliseconds between the arrival of an answer and its being safe on disk, in seconds. */
const KEEP_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5]
const REFRESH_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export type RefreshCounters = ReturnType<typeof createRefreshCounters>

/** What the steps of a refresh count. Labels are codes and names of integrations, never an account. */
export function createRefreshCounters(registry: Registry) {
  const registers = [registry]
  return {
    ends: new Counter({
      name: 'amo_refreshes_total',
      help: 'Refreshes by how they ended: committed, parked, or the code of the refusal',
      labelNames: ['integration', 'end'] as const,
      registers,
    }),
    reuseSuspected: new Counter({
      name: 'amo_refresh_token_reuse_suspected_total',
      help: 'Tokens refused as spent that this broker had sent before. Must stay 0',
      registers,
    }),
    takeOvers: new Counter({
      name: 'amo_refresh_takeovers_total',
      help: 'Refreshes taken over from a process that ended, or that did not learn how its send ended',
      registers,
    }),
    condemned: new Counter({
      name: 'amo_accounts_condemned_total',
      help: 'Accounts that a person must authorize again, by the reason',
      labelNames: ['integration', 'code'] as const,
      registers,
    }),
    revived: new Counter({
      name: 'amo_accounts_revived_total',
      help: 'Condemned accounts that were found alive',
      registers,
    }),
    keepSeconds: new Histogram({
      name: 'amo_answer_keep_seconds',
      help: 'From the arrival of an answer until it is safe on disk: a kill in between loses a pair',
      buckets: KEEP_BUCKETS,
      registers,
    }),
    refreshSeconds: new Histogram({
      name: 'amo_refresh_seconds',
      help: 'From the claim to the end of a refresh',
      buckets: REFRESH_BUCKETS,
      registers,
    }),
  }
}
