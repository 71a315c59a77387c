import { verifyHistory } from '../../src/history/verify-history.ts'
import { type Fate, fateOf } from './fates.ts'
import { isForgottenSend } from './forgotten-sends.ts'
import type { Harness } from './harness.ts'
import { readHistory } from './history.ts'
import { type Holding, readHoldings, readParked } from './holdings.ts'

/** The result of a run. `violations` must be empty; the other counts are no violations. */
export interface RunFindings {
  violations: { kind: string; text: string }[]
  /** Refresh tokens sent again by a process that was frozen between its last check and its send. */
  frozenSends: number
  /** Refresh tokens sent again because a failover had forgotten the record of the send. */
  forgottenSends: string[]
  /** Number of grants lost where no client can avoid it, by cause. */
  losses: Map<string, number>
  refreshes: number
  /** Time between the arrival of a provider response and its first durable write. */
  window: { count: number; medianMs: number; maxMs: number }
  reads: number
  deadAfterPromise: number
}

/** A process that continues after a freeze sends within this time. */
const FROZEN_SEND_MS = 3_000
/**
 * All replicas know of a commit after this time: one heartbeat, and an allowance for a busy
 * machine.
 */
const HEARD_MS = 4_000

/** Checks a run by the sandbox's books and the database, not by reports of the brokers. */
export async function checkRun(harness: Harness): Promise<RunFindings> {
  const { vault, sandbox } = harness
  const findings: RunFindings = {
    violations: [],
    frozenSends: 0,
    forgottenSends: [],
    losses: new Map(),
    refreshes: sandbox.world.books.totals.refreshes,
    window: windowOf(harness),
    reads: harness.callers.reads.length,
    deadAfterPromise: 0,
  }
  const holdings = await readHoldings(vault.db, vault.keyRing)
  checkSends(harness, findings)
  await checkPairs(harness, findings)
  checkAccounts(harness, findings, holdings)
  await checkReads(harness, findings)
  for (const generation of harness.pulse.usedTwice) {
    findings.violations.push({ kind: 'generation', text: `${generation} stood for two pairs` })
  }
  await checkHistory(harness, findings)
  for (const { surprises } of harness.replicas) {
    for (const text of surprises) findings.violations.push({ kind: 'process', text })
  }
  for (const { fault, outcome, account, atMs } of harness.incidents.all) {
    if (outcome === 'NOT RECOVERED' || outcome === 'SERVED LATE') {
      const where = account === undefined ? '' : ` of account ${account}`
      const text = `${fault}${where} at ${new Date(atMs).toISOString()}: ${outcome.toLowerCase()}`
      findings.violations.push({ kind: 'recovery', text })
    }
  }
  return findings
}

/** (1) A refresh token is sent again only after proof that it is unspent. */
function checkSends(harness: Harness, findings: RunFindings): void {
  const { sandbox, replicas, journal } = harness
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
    const steps = journal
      .of(entry.accountId ?? 0)
      .filter(({ atMs }) => Math.abs(atMs - entry.arrivedAt) < 20_000)
      .map(
        ({ step, replica, start, atMs }) =>
          `${step}@${replica}.${start}${Math.round(atMs - entry.arrivedAt)}`,
      )
    const text = `account ${entry.accountId}: token ${entry.tokenId} sent again (${entry.outcome}); ${steps.join(' ')}`
    if (isFrozen) findings.frozenSends += 1
    else if (isForgottenSend(harness, entry)) findings.forgottenSends.push(text)
    else findings.violations.push({ kind: 'sent again', text })
  }
}

/** (2) A pair that arrived is current, was replaced by a later commit, or is parked. */
async function checkPairs(harness: Harness, findings: RunFindings): Promise<void> {
  const { vault, sandbox } = harness
  const stored = new Set(
    (await readHistory(vault.db, vault.keyRing)).map(({ refreshTokenId }) => refreshTokenId),
  )
  const parked = new Set((await readParked(vault.db, vault.keyRing)).map(({ id }) => id))
  for (const entry of sandbox.world.books.list()) {
    const { newTokenId, kind, spent } = entry
    if (kind !== 'refresh_token' || !spent || newTokenId === undefined) continue
    if (stored.has(newTokenId) || parked.has(newTokenId)) continue
    const fate = fateOf(entry, harness)
    if (MUST_BE_HELD.has(fate)) {
      const text = `account ${entry.accountId}: pair ${newTokenId} (${fate}, fault ${entry.fault ?? 'none'}) at ${new Date(entry.at).toISOString()} is nowhere`
      findings.violations.push({ kind: 'pair lost', text })
    } else {
      const cause = `${fate}: ${entry.fault ?? 'the broker was killed'}`
      findings.losses.set(cause, (findings.losses.get(cause) ?? 0) + 1)
    }
  }
}

const MUST_BE_HELD: ReadonlySet<Fate> = new Set(['arrived', 'hung_up', 'pending'])

/** (3) An account has a pair that the provider accepts if, and only if, its status is `active`. */
function checkAccounts(
  { sandbox, subjects }: Harness,
  findings: RunFindings,
  holdings: Holding[],
): void {
  const byAccount = new Map(holdings.map((holding) => [holding.account, holding]))
  for (const { accountId, account, client } of subjects) {
    const holding = byAccount.get(accountId)
    if (holding === undefined) {
      findings.violations.push({ kind: 'account', text: `account ${accountId} has no row` })
      continue
    }
    const live = new Set(sandbox.world.grants.liveRefreshTokens(account, client.clientId))
    const isCurrentAlive = live.has(holding.current)
    const aliveParked = holding.parked.filter((id) => live.has(id))
    const name = `account ${accountId} (${holding.status}, ${holding.lastErrorCode}, generation ${holding.generation})`
    if (holding.status !== 'active' && (isCurrentAlive || aliveParked.length > 0)) {
      const which = isCurrentAlive ? 'current pair' : 'parked pair'
      findings.violations.push({
        kind: 'wrong reauth_required',
        text: `${name}: its ${which} lives`,
      })
    } else if (holding.status === 'active' && !isCurrentAlive) {
      findings.violations.push({ kind: 'account', text: `${name}: its pair is dead` })
    }
  }
}

/** (4) After `use_until` a dead token is handed out only while nobody knows a newer one. */
async function checkReads(
  { vault, callers, journal }: Harness,
  findings: RunFindings,
): Promise<void> {
  const commits = new Map<number, { generation: number; atMs: number }[]>()
  for (const { account, generation, atMs } of await readHistory(vault.db, vault.keyRing)) {
    // The trigger runs before the commit. A process that was stopped in between commits after it
    // continues.
    const said = journal.of(account).find((line) => line.step === 'committed' && line.atMs >= atMs)
    const commit = { generation, atMs: said?.atMs ?? atMs }
    commits.set(account, [...(commits.get(account) ?? []), commit])
  }
  for (const read of callers.reads) {
    if (!read.isDead) continue
    findings.deadAfterPromise += 1
    const newer = commits
      .get(read.account)
      ?.find(
        ({ generation, atMs }) => generation > read.generation && atMs < read.askedAtMs - HEARD_MS,
      )
    if (newer === undefined || read.isStale) continue
    const text = `account ${read.account}: generation ${read.generation} from ${read.replica}, ${Math.round(read.askedAtMs - newer.atMs)} ms after ${newer.generation} was committed`
    findings.violations.push({ kind: 'dead', text })
  }
}

/** (5) The history that the brokers have recorded keeps its rules. */
async function checkHistory({ vault, incidents }: Harness, findings: RunFindings): Promise<void> {
  const report = await verifyHistory(vault.db, { attemptDays: 30 })
  // A failover that forgets commits forgets records of sends too (docs/operations.md).
  const hasForgotten = incidents.all.some(({ fault }) => fault.startsWith('failover_lossy'))
  for (const { rule, accountId, attempt, detail } of report.findings) {
    if (hasForgotten && rule === 'send_not_recorded') continue
    const text = `${rule}: account ${accountId}, attempt ${attempt}: ${detail}`
    findings.violations.push({ kind: 'history', text })
  }
}

function windowOf({ journal }: Harness): RunFindings['window'] {
  const spans: number[] = []
  const open = new Map<string, number>()
  for (const { account, replica, start, step, atMs } of journal.all()) {
    const key = `${account} ${replica} ${start}`
    if (step === 'response_read') open.set(key, atMs)
    const fromMs = open.get(key)
    if (step === 'journaled' && fromMs !== undefined) {
      spans.push(atMs - fromMs)
      open.delete(key)
    }
  }
  spans.sort((left, right) => left - right)
  const medianMs = spans[Math.floor(spans.length / 2)] ?? 0
  return { count: spans.length, medianMs, maxMs: spans.at(-1) ?? 0 }
}
