import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import { Agent, request } from 'undici'
import type { SandboxAccount } from '../support/sandbox-accounts.ts'
import type { Harness } from './harness.ts'
import type { Replica } from './replica.ts'

export interface Served {
  /** Until every account was served that had to be. Undefined: not within the limit. */
  tookMs: number | undefined
  /** Accounts whose token was dead while a send of them was not settled. */
  lateCount: number
  /** Until the last of those was served. */
  slowestLateMs: number
  /**
   * Another fault stopped or killed a replica meanwhile. Until its lease is over, and PostgreSQL
   * has ended its transactions (4 s), no other replica can refresh the accounts that it claimed.
   */
  wasDisturbed: boolean
}

const LIMIT_MS = 60_000
const ROUND_MS = 50
const CONNECTIONS = 20
/** A token with less left is handed out to nobody: a tenth of the life of a run's tokens. */
const MIN_REST_MS = 5_000

/**
 * Waits until every running replica serves every account whose token lives, or that has no
 * unsettled send. Leaves out what another fault stands in the way of: an account that it uses, an
 * integration that is stopped, and a replica that was down in between.
 */
export async function untilServed(harness: Harness): Promise<Served> {
  const beganMs = Date.now()
  const endMs = beganMs + LIMIT_MS
  const agent = new Agent({ connections: CONNECTIONS })
  const late = new Set<number>()
  const asked = new Map<Replica, Asked>()
  const served = { tookMs: 0, slowestLateMs: 0 }
  let isServed = false
  while (!isServed && !harness.signal.aborted && Date.now() < endMs) {
    const excused = await excusedAccounts(harness, late)
    for (const replica of harness.replicas) follow(asked, replica, harness)
    await Promise.all(Array.from(asked, (each) => askAgain(harness, each, agent)))
    isServed = asked.size > 0
    for (const [{ name }, { sinceMs, left }] of asked) {
      const tookMs = Date.now() - sinceMs
      const unsettled = left.filter(({ accountId }) => late.has(accountId))
      const missing = left.filter(
        ({ accountId }) => !excused.has(accountId) && !late.has(accountId),
      )
      if (unsettled.length > 0) served.slowestLateMs = Math.max(served.slowestLateMs, tookMs)
      if (missing.length > 0) served.tookMs = Math.max(served.tookMs, tookMs)
      isServed &&= unsettled.length + missing.length === 0
      if (missing.length > 0 && tookMs > harness.servedLimitMs) {
        harness.incidents.note(
          `${name} does not serve ${missing.map(({ accountId }) => accountId)}`,
        )
      }
    }
    if (!isServed) await delay(ROUND_MS)
  }
  await agent.destroy()
  const isOver = isServed || harness.signal.aborted
  return {
    ...served,
    tookMs: isOver ? served.tookMs : undefined,
    lateCount: late.size,
    wasDisturbed: harness.replicas.some((replica) => replica.wasDisturbedSince(beganMs)),
  }
}

/** What a replica has not served since it could be asked. */
interface Asked {
  sinceMs: number
  left: SandboxAccount[]
}

/**
 * Asks a replica from the time on when it runs. What it was asked before a fault does not count.
 */
function follow(asked: Map<Replica, Asked>, replica: Replica, { subjects }: Harness): void {
  const known = asked.get(replica)
  if (known !== undefined && !replica.wasDisturbedSince(known.sinceMs)) return
  if (replica.isUp) asked.set(replica, { sinceMs: Date.now(), left: subjects })
  else asked.delete(replica)
}

async function askAgain(
  harness: Harness,
  [replica, asked]: [Replica, Asked],
  agent: Agent,
): Promise<void> {
  asked.left = await notServed(harness, replica, asked.left, agent)
}

async function notServed(
  { operatorKey, answers }: Harness,
  { url, name }: Replica,
  subjects: SandboxAccount[],
  dispatcher: Agent,
): Promise<SandboxAccount[]> {
  const headers = { authorization: `Bearer ${operatorKey}` }
  const isServed = async ({ accountId, integration }: SandboxAccount) => {
    const path = `/tokens/${accountId}?integration=${integration}`
    const answer = await request(url + path, { headers, dispatcher }).catch(() => undefined)
    if (answer === undefined) answers.unanswered += 1
    else answers.note(name, answer.statusCode)
    await answer?.body.dump().catch(() => {})
    return answer?.statusCode === 200
  }
  const served = await Promise.all(subjects.map(isServed))
  return subjects.filter((_, nth) => !served[nth])
}

/**
 * Returns the accounts that need not be served now. Adds to `late` those whose token is dead while
 * a send is not settled.
 */
async function excusedAccounts(harness: Harness, late: Set<number>): Promise<Set<number>> {
  const { busy, pulse, subjects } = harness
  const stopped = await stoppedIntegrations(harness)
  const unsettled = await unsettledAccounts(harness)
  const excused = new Set<number>()
  for (const { accountId, integration } of subjects) {
    const vitals = pulse.now.get(accountId)
    const isInUse = vitals?.status === 'active' && vitals.failedAttempts === 0
    if (!isInUse || busy.has(accountId) || stopped.has(integration)) excused.add(accountId)
    else if (unsettled.has(accountId) && vitals.expiresAtMs < Date.now() + MIN_REST_MS) {
      late.add(accountId)
    }
  }
  return excused
}

/** Also those whose claim a process holds that another fault has stopped or killed. */
async function unsettledAccounts({ vault, replicas }: Harness): Promise<Set<number>> {
  const { rows } = await sql<{ account: number; sendCount: number; claimedAtMs: number }>`
    select "accountId" as account, "sendCount",
      (extract(epoch from "claimedAt") * 1000)::float8 as "claimedAtMs"
    from amo_refresh_attempts where "finishedAt" is null`.execute(vault.db)
  const isUnsettled = ({ sendCount, claimedAtMs }: (typeof rows)[number]) =>
    sendCount > 0 || replicas.some((replica) => replica.wasDisturbedSince(claimedAtMs))
  return new Set(rows.filter(isUnsettled).map(({ account }) => account))
}

/** Integrations that a fault of the provider, a breaker or the mass guard stops. */
async function stoppedIntegrations({ vault, sandbox, subjects }: Harness): Promise<Set<string>> {
  const { rows } = await sql<{ name: string }>`
    select name from amo_integrations where state <> 'running'
    union select integration from amo_open_breakers`.execute(vault.db)
  const clients = new Set(
    sandbox.world.faults
      .list()
      .filter(({ spec, remaining }) => remaining > 0 && spec.account === undefined)
      .map(({ spec }) => spec.client_id),
  )
  const struck = subjects.filter(({ client }) => clients.has(client.clientId))
  return new Set([...rows.map(({ name }) => name), ...struck.map(({ integration }) => integration)])
}
