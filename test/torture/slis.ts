import type { ReadResult } from '../../src/audit/read-totals.ts'
import type { BookEntry } from '../../src/sandbox/books.ts'
import { readRuleGroups } from '../support/alert-rules.ts'
import type { Series } from '../support/prometheus.ts'
import { isForgottenSend } from './forgotten-sends.ts'
import type { Harness } from './harness.ts'
import { BEAT_MS, type NearExpiry } from './pulse.ts'
import type { StatusChange } from './status-changes.ts'
import { hiddenByRestarts, type Unscraped, unscrapedTimes } from './unscraped.ts'

/** What Prometheus has of the run. */
export interface Scrapes {
  /** The whole run, as a duration in PromQL. */
  range: string
  /** Returns the only value of a query. NaN: there is none. */
  query(expr: string): Promise<number>
  /** Returns the raw samples of the run. */
  samples(selector: string): Promise<Series[]>
  /** Returns the value of a query for every second of the run, without those that have none. */
  everySecond(expr: string): Promise<Series['values']>
}

/** An indicator as Prometheus computes it, and what the harness allows by its own counts. */
export interface Sli {
  name: string
  prometheus: number
  judge: number
  least: number
  most: number
  isEqual: boolean
}

/**
 * `rate` and `increase` extrapolate to the ends of the range, by about a scrape interval each. That
 * is less than this share of a run of minutes.
 */
const EXTRAPOLATED = 0.01
/** A change is committed before its process counts it, and a scrape waits for the database. */
const COUNTED_MS = 3_000
/** A gauge is this old at most: a query of two seconds ago, and a scrape of a second ago. */
const GAUGE_AGE_MS = 4_000
/** Of a whole: a change within a second may be on either side of a sample. */
const FRESHNESS_TOLERANCE = 0.001

const rules = readRuleGroups().flatMap((group) => group.rules)

/** Compares the SLIs of the shipped rules, over the whole run, with the harness's own counts. */
export async function compareSlis(
  harness: Harness,
  scrapes: Scrapes,
  changes: readonly StatusChange[],
): Promise<Sli[]> {
  const everyScrape = await scrapes.samples('amo_token_reads_total{outcome="done"}')
  const unscraped = unscrapedTimes(harness.replicas, everyScrape)
  return [
    ...(await compareReads(harness, scrapes, unscraped)),
    ...(await compareChain(harness, scrapes, unscraped, changes)),
    await comparePromises(harness, scrapes),
    await compareFreshness(harness, scrapes),
  ]
}

function sli(name: string, judge: number, prometheus: number, least: number, most: number): Sli {
  const isEqual = prometheus >= least && prometheus <= most
  return { name, judge, prometheus, least, most, isEqual }
}

async function compareReads(
  { answers, replicas }: Harness,
  scrapes: Scrapes,
  unscraped: readonly Unscraped[],
): Promise<Sli[]> {
  const isUnseen = ({ replica, atMs }: { replica: string; atMs: number }) =>
    unscraped.some(
      (window) => window.replica === replica && atMs > window.fromMs && atMs <= window.toMs,
    )
  const count = async (result: ReadResult) => {
    const all = answers.all.filter((answer) => answer.result === result)
    const seen = all.filter((answer) => !isUnseen(answer)).length
    const series = await scrapes.samples(`amo_token_reads_total{result="${result}"}`)
    return {
      judge: all.length,
      least: (seen - hiddenByRestarts(replicas, series)) * (1 - EXTRAPOLATED),
      most: (all.length + answers.unanswered) * (1 + EXTRAPOLATED),
    }
  }
  const served = await count('served')
  const unavailable = await count('unavailable')
  const increase = (result: ReadResult) =>
    scrapes.query(`sum(increase(amo_token_reads_total{result="${result}"}[${scrapes.range}]))`)
  const ratio = (part: number, rest: number) => part / (part + rest)
  const rule = ruleOf('amo:slo_errors:ratio_rate1h', 'availability')
  const expr = rule.replaceAll('[1h]', `[${scrapes.range}]`)
  return [
    sli('reads served', served.judge, await increase('served'), served.least, served.most),
    sli(
      'reads unavailable',
      unavailable.judge,
      await increase('unavailable'),
      unavailable.least,
      unavailable.most,
    ),
    sli(
      'availability: error ratio',
      ratio(unavailable.judge, served.judge),
      await scrapes.query(expr),
      ratio(unavailable.least, served.most),
      ratio(unavailable.most, served.least),
    ),
  ]
}

async function compareChain(
  harness: Harness,
  scrapes: Scrapes,
  unscraped: readonly Unscraped[],
  changes: readonly StatusChange[],
): Promise<Sli[]> {
  const { range } = scrapes
  const isUnseen = (atMs: number) =>
    unscraped.some(({ fromMs, toMs }) => atMs > fromMs - COUNTED_MS && atMs <= toMs + COUNTED_MS)
  const compare = async (name: string, { all, known, possible }: Events, expr: string) => {
    const seen = known.filter((atMs) => !isUnseen(atMs)).length
    const prometheus = await scrapes.query(expr)
    // `increase` of a few is not a whole number.
    const most = Math.max(possible.length + 0.1, possible.length * (1 + EXTRAPOLATED))
    return sli(name, all.length, prometheus, seen * (1 - EXTRAPOLATED), most)
  }
  const changesOf = (kind: StatusChange['kind']): Events => {
    const all = changes.filter((change) => change.kind === kind).map(({ atMs }) => atMs)
    return { all, known: all, possible: all }
  }
  const lost = changesOf('pair_lost')
  const revived = changesOf('revived')
  const reused = reuses(harness)
  const errors: Events = {
    all: [...lost.all, ...revived.all, ...reused.all],
    known: [...lost.known, ...revived.known, ...reused.known],
    possible: [...lost.possible, ...revived.possible, ...reused.possible],
  }
  const rule = ruleOf('amo:slo_errors:increase1h', 'chain').replaceAll('[1h]', `[${range}]`)
  return [
    await compare(
      'chain: pairs lost',
      lost,
      `sum(increase(amo_accounts_condemned_total{code="pair_lost"}[${range}]))`,
    ),
    await compare(
      'chain: accounts revived',
      revived,
      `sum(increase(amo_accounts_revived_total[${range}]))`,
    ),
    await compare(
      'chain: refresh tokens reused',
      reused,
      `sum(increase(amo_refresh_token_reuse_suspected_total[${range}]))`,
    ),
    await compare('chain: errors', errors, rule),
  ]
}

/** The times of events that the harness knows of. */
interface Events {
  all: number[]
  /** Those that a broker can know of. */
  known: number[]
  /** Those, and what a broker cannot tell from them. */
  possible: number[]
}

/**
 * Finds spent refresh tokens that were presented again. A broker cannot know of a refusal that it
 * never read, nor of a token whose first send a failover has made it forget. It ignores the late
 * refusal of a first send, because another send has spent the token meanwhile. And it takes a wrong
 * refusal by the provider for a reuse.
 */
function reuses(harness: Harness): Events {
  const entries = harness.sandbox.world.books.list().filter(({ kind }) => kind === 'refresh_token')
  const reused = entries.filter(({ outcome }) => outcome === 'reused')
  const known = reused.filter(
    (entry) => entry.answered && entry.presentation !== 'first' && !isForgottenSend(harness, entry),
  )
  const lies = entries.filter(
    ({ outcome, presentation }) =>
      outcome === 'said_revoked' && presentation !== undefined && presentation !== 'first',
  )
  const timesOf = (of: BookEntry[]) => of.map(({ at }) => at)
  return { all: timesOf(reused), known: timesOf(known), possible: timesOf([...reused, ...lies]) }
}

async function comparePromises({ callers }: Harness, scrapes: Scrapes): Promise<Sli> {
  const judge = callers.brokenPromises.size
  const rule = ruleOf('amo:slo_errors:increase1h', 'promise')
  const prometheus = await scrapes.query(rule.replaceAll('[1h]', `[${scrapes.range}]`))
  const least = (judge - 1) * (1 - EXTRAPOLATED)
  const most = (judge + 1) * (1 + EXTRAPOLATED)
  return sli('promise: tokens dead early', judge, prometheus, least, most)
}

/**
 * The gauges of the replicas are of different moments, and the highest of each integration counts.
 * So the mean lies between those of the lowest and of the highest counts of the last seconds.
 */
async function compareFreshness({ pulse }: Harness, scrapes: Scrapes): Promise<Sli> {
  // While no replica reaches PostgreSQL there is no value, but the harness goes on reading.
  const known = await scrapes.everySecond(ruleOf('amo:accounts_near_expiry:ratio'))
  const seconds = known.flatMap(([at]) => {
    const beats = pulse.nearExpiry.filter(
      ({ atMs }) => atMs > at * 1000 - GAUGE_AGE_MS && atMs < at * 1000 + BEAT_MS,
    )
    return beats.length === 0 ? [] : [sharesOf(beats)]
  })
  return sli(
    'freshness: share near expiry',
    mean(seconds.map(({ newest }) => newest)),
    mean(known.map(([, value]) => value)),
    mean(seconds.map(({ lowest }) => lowest)) - FRESHNESS_TOLERANCE,
    mean(seconds.map(({ highest }) => highest)) + FRESHNESS_TOLERANCE,
  )
}

function sharesOf(beats: NearExpiry[]): { newest: number; lowest: number; highest: number } {
  const integrations = [...new Set(beats.flatMap(({ near }) => [...near.keys()]))]
  const actives = beats.map(({ active }) => active)
  const sumOf = (choose: (counts: number[]) => number) =>
    integrations.reduce(
      (sum, each) => sum + choose(beats.map(({ near }) => near.get(each) ?? 0)),
      0,
    )
  return {
    newest: sumOf((counts) => counts.at(-1) ?? 0) / Math.max(1, actives.at(-1) ?? 0),
    lowest: sumOf((counts) => Math.min(...counts)) / Math.max(1, ...actives),
    highest: sumOf((counts) => Math.max(...counts)) / Math.max(1, Math.min(...actives)),
  }
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
}

function ruleOf(record: string, slo?: string): string {
  const rule = rules.find((each) => each.record === record && each.labels?.slo === slo)
  if (rule === undefined) throw new Error(`no rule ${record} ${slo}`)
  return rule.expr
}
