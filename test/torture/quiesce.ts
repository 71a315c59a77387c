import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import { readHoldings } from './holdings.ts'
import type { Operator } from './operator.ts'
import type { Stage } from './stage.ts'

/** A claim runs out in seconds, and a condemned account that lives is revived by the next look at it. */
const LIMIT_MS = 120_000
const ROUND_MS = 2_000

/** Mends everything that the faults broke. */
export async function heal(stage: Stage): Promise<void> {
  stage.sandbox.world.faults.clear()
  for (const replica of stage.replicas) {
    const { postgres, listen, redis } = replica.proxies
    for (const proxy of [postgres, listen, redis]) {
      proxy.set('pass')
      proxy.slow(0)
      proxy.loseNothing()
    }
    if (replica.isStopped) replica.thaw()
    await replica.start()
  }
}

/**
 * Waits until nothing is unfinished: no claim, nobody active with a dead pair, nobody condemned whom the brokers can revive.
 * Returns what is left of that when the limit is over.
 */
export async function quiesce(
  stage: Stage,
  operator: Operator,
  signal: AbortSignal,
): Promise<string[]> {
  const endMs = Date.now() + LIMIT_MS
  let left = await unfinished(stage, operator)
  while (!signal.aborted && left.length > 0 && Date.now() < endMs) {
    stage.incidents.note(`unfinished: ${left.slice(0, 3).join('; ')}${left.length > 3 ? ' …' : ''}`)
    await delay(ROUND_MS)
    left = await unfinished(stage, operator)
  }
  return left
}

async function unfinished(stage: Stage, operator: Operator): Promise<string[]> {
  const { vault, sandbox, subjects } = stage
  const left: string[] = []
  // A refresh of every day may be under way at any time: only one that is older is left over.
  const { rows } = await sql<{ id: number; account: number; sendCount: number }>`
    select id, "accountId" as account, "sendCount" from amo_refresh_attempts
    where "finishedAt" is null and "claimedAt" < now() - interval '5 seconds'`.execute(vault.db)
  for (const { id, account, sendCount } of rows) {
    left.push(`attempt ${id} of account ${account}, sent ${sendCount} times, is unfinished`)
  }
  const byAccount = new Map(subjects.map((subject) => [subject.accountId, subject]))
  for (const holding of await readHoldings(vault.db, vault.keyRing)) {
    const subject = byAccount.get(holding.account)
    if (subject === undefined) continue
    const live = sandbox.world.grants.liveRefreshTokens(subject.account, subject.client.clientId)
    const isAlive = live.includes(holding.current)
    const name = `account ${holding.account} (${holding.status}, ${holding.lastErrorCode})`
    if (holding.status === 'active' && !isAlive) left.push(`${name}: its pair is dead`)
    if (holding.status === 'active') continue
    left.push(`${name}: ${operator.mayRevive(subject, holding) ? 'not revived' : 'not authorized'}`)
  }
  return left
}
