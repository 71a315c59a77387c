import { Counter, Gauge, Registry } from '@prometheus-io/client'
import type { ReadCount, ReadResult } from '../audit/read-totals.ts'
import { ERRORS } from '../lib/errors.ts'
import type { Warning } from '../tokens/decision.ts'

interface ReadSources {
  /** Number of reads that the audit has counted. Hits are counted nowhere else. */
  audit: { reads(): ReadCount[] }
  cache: { readonly size: number }
  /** Lists the clients, so that each has its series before its first read. */
  clients: { names(): string[] }
}

const RESULTS: readonly ReadResult[] = ['served', 'refused', 'unavailable']

const WARNINGS: Record<Warning, true> = {
  refresh_pending: true,
  provider_unavailable: true,
  reauth_required: true,
  min_ttl_capped: true,
  paused: true,
  shadow: true,
  storage_read_only: true,
}

/** Errors that a read can end with. */
const READ_ERRORS = [
  'bad_request',
  'unauthorized',
  'forbidden',
  'account_not_found',
  'integration_not_found',
  'reauth_required',
  'disconnected',
  'pending',
  'ambiguous_account',
  'too_many_requests',
  'internal_error',
  'refresh_pending',
  'provider_unavailable',
  'storage_unavailable',
  'key_missing',
] as const satisfies (keyof typeof ERRORS)[]

const KNOWN: readonly { result: ReadResult; outcome: string }[] = [
  ...['done', 'not_modified', 'stale', ...Object.keys(WARNINGS)].map(
    (outcome) => ({ result: 'served', outcome }) as const,
  ),
  ...READ_ERRORS.map((outcome) => {
    const [status] = ERRORS[outcome]
    return { result: status < 500 ? 'refused' : 'unavailable', outcome } as const
  }),
]

/** The metrics of token reads. */
export class ReadMetrics {
  /** Reads by client. They are shown to monitors only, because they name the clients. */
  readonly byClient = new Registry()
  readonly #audit: ReadSources['audit']
  #misses = 0
  #hits = 0

  constructor(registry: Registry, { audit, cache, clients }: ReadSources) {
    this.#audit = audit
    this.#registerReads(registry, clients)
    this.#registerCache(registry, cache)
  }

  /** Counts a read that needed more than memory. A hit calls nothing. */
  onMiss(): void {
    this.#misses += 1
  }

  #registerReads(registry: Registry, clients: ReadSources['clients']): void {
    const audit = this.#audit
    new Counter({
      name: 'amo_token_reads_total',
      help: 'GET /tokens/:account by result (served, refused, unavailable) and outcome: done, not_modified, stale, a warning, or the code of the error; sum over replicas',
      labelNames: ['result', 'outcome'] as const,
      registers: [registry],
      collect() {
        this.reset()
        for (const known of KNOWN) this.inc({ ...known }, 0)
        for (const { result, outcome, times } of audit.reads()) this.inc({ result, outcome }, times)
      },
    })
    new Counter({
      name: 'amo_client_token_reads_total',
      help: 'GET /tokens/:account by client and result, only with the key of a monitor; sum over replicas',
      labelNames: ['client', 'result'] as const,
      registers: [this.byClient],
      collect() {
        this.reset()
        for (const client of clients.names()) {
          for (const result of RESULTS) this.inc({ client, result }, 0)
        }
        for (const { client, result, times } of audit.reads()) this.inc({ client, result }, times)
      },
    })
  }

  #registerCache(registry: Registry, cache: ReadSources['cache']): void {
    const registers = [registry]
    const hits = () => this.#countHits()
    const misses = () => this.#misses
    new Gauge({
      name: 'amo_cache_accounts',
      help: 'Tokens in memory; sum over replicas',
      registers,
      collect() {
        this.set(cache.size)
      },
    })
    new Counter({
      name: 'amo_cache_hits_total',
      help: 'Served reads that memory alone could answer; sum over replicas',
      registers,
      collect() {
        this.reset()
        this.inc(hits())
      },
    })
    new Counter({
      name: 'amo_cache_misses_total',
      help: 'Served reads that asked PostgreSQL or waited for a refresh; sum over replicas',
      registers,
      collect() {
        this.reset()
        this.inc(misses())
      },
    })
  }

  /** A miss may be counted a moment before its read. The number never decreases. */
  #countHits(): number {
    const served = this.#audit.reads().filter(({ result }) => result === 'served')
    const reads = served.reduce((sum, { times }) => sum + times, 0)
    this.#hits = Math.max(this.#hits, reads - this.#misses)
    return this.#hits
  }
}
