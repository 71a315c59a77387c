import { type Fate, fateOf } from './fates.ts'
import { readHistory } from './history.ts'
import { type Holding, readHoldings, readParked } from './holdings.ts'
import type { Stage } from './stage.ts'

/** What a run is judged by. Each list must be empty; what is counted apart is no violation. */
export interface Verdict {
  violations: { kind: string; text: string }[]
  /** Refresh tokens sent again by a process that was frozen between its last look at the clock and its bytes. */
  frozenSends: number
  /** Grants lost where no client can avoid it, by cause. */
  losses: Map<string, number>
  refreshes: number
  /** Milliseconds between the arrival of an answer and its first durable write. */
  window: { count: number; medianMs: number; maxMs: number }
  reads: number
  deadAfterPromise: number
}

/** A frozen process sends this soon after it goes on. */
const FROZEN_SEND_MS = 3_000
/** Everybody has heard of a commit by then: a heartbeat's trust, and a busy machine. */
const HEARD_MS = 4_000

/** Reads the sandbox's books and the database, and nothing that the brokers say of themselves. */
export async function judge(stage: Stage): Promise<Verdict> {
  const { vault, sandbox } = stage
  const verdict: Verdict = {
    violations: [],
    frozenSends: 0,
    losses: new Map(),
    refreshes: sandbox.world.books.totals.refreshes,
    window: windowOf(stage),
    reads: stage.callers.reads.length,
    deadAfterPromise: 0,
  }
  const holdings = await readHoldings(vault.db, vault.keyRing)
  judgeSends(stage, verdict)
  await judgePairs(stage, verdict)
  judgeAccounts(stage, verdict, holdings)
  await judgeReads(stage, verdict)
  for (const { surprises } of stage.replicas) {
    for (const text of surprises) verdict.violations.push({ kind: 'process', text })
  }
  for (const { fault, outcome, account, atMs } of stage.incidents.all) {
    if (outcome === 'NOT RECOVERED') {
      const where = account === undefined ? '' : ` of account ${account}`
      const text = `${fault}${where} at ${new Date(atMs).toISOString()}: not recovered`
      verdict.violations.push({ kind: 'recovery', text })
    }
  }
  return verdict
}

/** (1) A refresh token is sent again only when it was proved unspent, or a probe after the last send said alive. */
function judgeSends({ sandbox, replicas, journal }: Stage, verdict: Verdict): void {
  for (const entry of sandbox.world.books.list()) {
    if (entry.endpoint !== 'token' || entry.kind !== 'refresh_token') continue
    if (entry.presentation !== 'again') continue
    const isFrozen = replicas.some(({ lives }) =>
      lives.some(({ stops }) =>
        stops.some(
          ({ toMs }) =>
            toMs !== undefined &&
            toMs <= entry.arrivedAt &&
            entry.arrivedAt < toMs + FROZEN_SEND_MS,
        ),
      ),
    )
    if (isFrozen) verdict.frozenSends += 1
    else {
      const steps = journal
        .of(entry.accountId ?? 0)
        .filter(({ atMs }) => Math.abs(atMs - entry.arrivedAt) < 20_000)
        .map(
          ({ step, replica, start, atMs }) =>
            `${step}@${replica}.${start}${Math.round(atMs - entry.arrivedAt)}`,
        )
      const text = `account ${entry.accountId}: token ${entry.tokenId} sent again (${entry.outcome}); ${steps.join(' ')}`
      verdict.violations.push({ kind: 'sent again', text })
    }
  }
}

/** (2) A pair that arrived is current, was superseded by a later commit, or is parked. */
async function judgePairs(stage: Stage, verdict: Verdict): Promise<void> {
  const { vault, sandbox } = stage
  const stored = new Set(
    (await readHistory(vault.db, vault.keyRing)).map(({ refreshTokenId }) => refreshTokenId),
  )
  const parked = new Set((await readParked(vault.db, vault.keyRing)).map(({ id }) => id))
  for (const entry of sandbox.world.books.list()) {
    const { newTokenId, kind, spent } = entry
    if (kind !== 'refresh_token' || !spent || newTokenId === undefined) continue
    if (stored.has(newTokenId) || parked.has(newTokenId)) continue
    const fate = fateOf(entry, stage)
    if (MUST_BE_HELD.has(fate)) {
      const text = `account ${entry.accountId}: pair ${newTokenId} (${fate}, fault ${entry.fault ?? 'none'}) at ${new Date(entry.at).toISOString()} is nowhere`
      verdict.violations.push({ kind: 'pair lost', text })
    } else {
      const cause = `${fate}: ${entry.fault ?? 'the broker was killed'}`
      verdict.losses.set(cause, (verdict.losses.get(cause) ?? 0) + 1)
    }
  }
}

const MUST_BE_HELD: ReadonlySet<Fate> = new Set(['arrived', 'hung_up', 'pending'])

/** (3) Nobody is condemned whose pair the provider would accept, and nobody is active without such a pair. */
function judgeAccounts({ sandbox, subjects }: Stage, verdict: Verdict, holdings: Holding[]): void {
  const byAccount = new Map(holdings.map((holding) => [holding.account, holding]))
  for (const { accountId, account, client } of subjects) {
    const holding = byAccount.get(accountId)
    if (holding === undefined) {
      verdict.violations.push({ kind: 'account', text: `account ${accountId} has no row` })
      continue
    }
    const live = new Set(sandbox.world.grants.liveRefreshTokens(account, client.clientId))
    const isCurrentAlive = live.has(holding.current)
    const aliveParked = holding.parked.filter((id) => live.has(id))
    const name = `account ${accountId} (${holding.status}, ${holding.lastErrorCode}, generation ${holding.generation})`
    if (holding.status !== 'active' && (isCurrentAlive || aliveParked.length > 0)) {
      const which = isCurrentAlive ? 'current pair' : 'parked pair'
      verdict.violations.push({ kind: 'condemned', text: `${name}: its ${which} lives` })
    } else if (holding.status === 'active' && !isCurrentAlive) {
      verdict.violations.push({ kind: 'account', text: `${name}: its pair is dead` })
    }
  }
}

/** (4) After `use_until` a dead token is handed out only while nobody knows a newer one. */
async function judgeReads({ vault, callers, journal }: Stage, verdict: Verdict): Promise<void> {
  const commits = new Map<number, { generation: number; atMs: number }[]>()
  for (const { account, generation, atMs } of await readHistory(vault.db, vault.keyRing)) {
    // The trigger's time is before the commit: whoever was stopped in between had it committed when it went on.
    const said = journal.of(account).find((line) => line.step === 'committed' && line.atMs >= atMs)
    const commit = { generation, atMs: said?.atMs ?? atMs }
    commits.set(account, [...(commits.get(account) ?? []), commit])
  }
  for (const read of callers.reads) {
    if (!read.isDead) continue
    verdict.deadAfterPromise += 1
    const newer = commits
      .get(read.account)
      ?.find(
        ({ generation, atMs }) => generation > read.generation && atMs < read.askedAtMs - HEARD_MS,
      )
    if (newer === undefined || read.isStale) continue
    const text = `account ${read.account}: generation ${read.generation} from ${read.replica}, ${Math.round(read.askedAtMs - newer.atMs)} ms after ${newer.generation} was committed`
    verdict.violations.push({ kind: 'dead', text })
  }
}

function windowOf({ journal }: Stage): Verdict['window'] {
  const spans: number[] = []
  const open = new Map<string, number>()
  for (const { account, replica, start, step, atMs } of journal.all()) {
    const key = `${account} ${replica} ${start}`
    if (step === 'answered') open.set(key, atMs)
    const fromMs = open.get(key)
    if (step === 'kept' && fromMs !== undefined) {
      spans.push(atMs - fromMs)
      open.delete(key)
    }
  }
  spans.sort((left, right) => left - right)
  const medianMs = spans[Math.floor(spans.length / 2)] ?? 0
  return { count: spans.length, medianMs, maxMs: spans.at(-1) ?? 0 }
}
