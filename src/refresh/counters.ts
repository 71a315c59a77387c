import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client'
import type { Claim } from '../claims/claim.ts'
import type { Lane } from '../claims/pace.ts'
import type { IntegrationLabels } from '../integrations/integration-labels.ts'
import type { CommitResult } from '../pairs/commit-pair.ts'
import { FAILURE_CODES } from '../provider/failures.ts'
import { REFUSALS, type RefusalCode } from '../provider/refusals.ts'

/** Seconds. A write to disk takes from half a millisecond to some hundred. */
const JOURNAL_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5]
const REFRESH_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

const COMMIT_RESULTS: Record<CommitResult['result'], true> = {
  committed: true,
  already: true,
  replaced: true,
  parked: true,
  foreign: true,
  not_ours: true,
  removed: true,
}
const ENDS = [...Object.keys(COMMIT_RESULTS), ...Object.keys(REFUSALS)]

/** Who asked for a refresh. `reclaimed`: the claim of a process that died, or an unclear send. */
export type RefreshLane = Extract<Lane, 'waiting' | 'due' | 'idle'> | 'canary' | 'reclaimed'
const LANES: Record<RefreshLane, true> = {
  waiting: true,
  due: true,
  idle: true,
  canary: true,
  reclaimed: true,
}

/** How a refresh ended: the result of its commit, or the code of the refusal. */
export type CountedEnd = CommitResult['result'] | RefusalCode

/**
 * `unclear`: the token may be spent. `unsent`: nothing was sent. `other`: the pair had no place.
 */
export type RefreshResult = 'committed' | 'refused' | 'unclear' | 'unsent' | 'other'
const RESULTS: readonly RefreshResult[] = ['committed', 'refused', 'unclear', 'unsent', 'other']

export type RefreshCounters = ReturnType<typeof createRefreshCounters>

/** For parts of the broker that run without integrations. */
const PLAIN_LABELS: IntegrationLabels = { of: (name) => name, all: () => [] }

/**
 * Registers the metrics of the refresh. Labels are codes and names of integrations, never an
 * account. Each counter of an integration exists with the value 0 from the first scrape.
 */
export function createRefreshCounters(registry: Registry, labels = PLAIN_LABELS) {
  const { ends, ...counts } = createCounts(registry, labels)
  const { refreshSeconds, ...times } = createTimes(registry)
  const results = new WeakMap<Claim, RefreshResult>()
  const resultOfClaim = (claim: Claim) => results.get(claim) ?? 'unsent'
  return {
    ...counts,
    ...times,
    /** Begins to measure the refresh of a claim. Returns the function that ends it. */
    begin(claim: Claim, lane: RefreshLane): () => void {
      const stop = refreshSeconds.startTimer({ lane })
      return () => void stop({ result: resultOfClaim(claim) })
    },
    /** Returns how the refresh of a claim has ended. */
    resultOf: resultOfClaim,
    /** Counts how the refresh of a claim ended. */
    onEnd(claim: Claim, end: CountedEnd): void {
      ends.inc({ integration: labels.of(claim.integration), end })
      results.set(claim, resultOf(end))
    },
  }
}

function resultOf(end: CountedEnd): RefreshResult {
  if (end === 'committed' || end === 'already' || end === 'replaced') return 'committed'
  if (Object.hasOwn(COMMIT_RESULTS, end)) return 'other'
  const { kind } = REFUSALS[end as RefusalCode]
  return kind === 'ambiguous' || kind === 'unknown' ? 'unclear' : 'refused'
}

function createCounts(registry: Registry, labels: IntegrationLabels) {
  const registers = [registry]
  const ends = new Counter({
    name: 'amo_refreshes_total',
    help: 'Refreshes by how they ended: committed, parked, or the code of the refusal; sum over replicas',
    labelNames: ['integration', 'end'] as const,
    registers,
    collect() {
      for (const integration of labels.all()) {
        for (const end of ENDS) this.inc({ integration, end }, 0)
      }
    },
  })
  const reauthRequired = new Counter({
    name: 'amo_accounts_condemned_total',
    help: 'Accounts that became reauth_required, by the reason; sum over replicas',
    labelNames: ['integration', 'code'] as const,
    registers,
    collect() {
      for (const integration of labels.all()) {
        for (const code of FAILURE_CODES) this.inc({ integration, code }, 0)
      }
    },
  })
  const sendsWithoutCopy = new Counter({
    name: 'amo_sends_without_copy_total',
    help: 'Refresh tokens sent although neither the disk nor Redis had a place for the response; sum over replicas',
    labelNames: ['integration'] as const,
    registers,
    collect() {
      for (const integration of labels.all()) this.inc({ integration }, 0)
    },
  })
  const checkIntervals = new Map<string, number>()
  new Gauge({
    name: 'amo_token_check_interval_seconds',
    help: 'Time between the last two checks of an account; above CHECK_INTERVAL_MINUTES the pace allows no more; max over replicas',
    labelNames: ['integration'] as const,
    registers,
    collect() {
      this.reset()
      for (const integration of labels.all()) {
        const seconds = checkIntervals.get(integration)
        if (seconds !== undefined) this.set({ integration }, seconds)
      }
    },
  })
  return {
    ends,
    reauthRequired: {
      inc: ({ integration, code }: { integration: string; code: string }) =>
        reauthRequired.inc({ integration: labels.of(integration), code }),
    },
    sendsWithoutCopy: {
      inc: ({ integration }: { integration: string }) =>
        sendsWithoutCopy.inc({ integration: labels.of(integration) }),
    },
    checkInterval: {
      set: ({ integration }: { integration: string }, seconds: number) =>
        checkIntervals.set(labels.of(integration), seconds),
    },
    reuseSuspected: new Counter({
      name: 'amo_refresh_token_reuse_suspected_total',
      help: 'Tokens that this broker had sent before, refused as spent, and not alive by a probe; must stay 0; sum over replicas',
      registers,
    }),
    reclaims: new Counter({
      name: 'amo_refresh_takeovers_total',
      help: 'Expired claims reclaimed from a process that died, or whose send had no clear result; sum over replicas',
      registers,
    }),
    revived: new Counter({
      name: 'amo_accounts_revived_total',
      help: 'Accounts that were reauth_required and that a probe found alive; sum over replicas',
      registers,
    }),
  }
}

function createTimes(registry: Registry) {
  const registers = [registry]
  const refreshSeconds = new Histogram({
    name: 'amo_refresh_seconds',
    help: 'From the claim to the end of a refresh, by lane and result; sum over replicas',
    labelNames: ['lane', 'result'] as const,
    buckets: REFRESH_BUCKETS,
    registers,
  })
  for (const lane of Object.keys(LANES)) {
    for (const result of RESULTS) refreshSeconds.zero({ lane, result })
  }
  return {
    refreshSeconds,
    journalSeconds: new Histogram({
      name: 'amo_answer_keep_seconds',
      help: 'From the arrival of a response until it is written; a kill in between loses a pair; sum over replicas',
      buckets: JOURNAL_BUCKETS,
      registers,
    }),
    flushSeconds: new Histogram({
      name: 'amo_response_flush_seconds',
      help: 'From the arrival of a response until it is flushed; a power loss in between may lose it; sum over replicas',
      buckets: JOURNAL_BUCKETS,
      registers,
    }),
  }
}
