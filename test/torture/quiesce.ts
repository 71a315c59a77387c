import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Harness } from './harness.ts'
import { readHoldings } from './holdings.ts'
import type { Operator } from './operator.ts'

/**
 * Claims expire within seconds, and the next recheck revives an account that was blocked wrongly.
 */
const LIMIT_MS = 120_000
const ROUND_MS = 2_000

/** Ends every fault and starts the replicas that are down. */
export async function heal(harness: Harness): Promise<void> {
  harness.sandbox.world.faults.clear()
  for (const replica of harness.replicas) {
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
 * Waits until no claim is unfinished, no active account has a dead pair, and no account is left
 * that the brokers can revive.
 *
 * @returns one line for each account or claim that is still unfinished at the limit
 */
export async function quiesce(
  harness: Harness,
  operator: Operator,
  signal: AbortSignal,
): Promise<string[]> {
  const endMs = Date.now() + LIMIT_MS
  let left = await unfinished(harness, operator)
  while (!signal.aborted && left.length > 0 && Date.now() < endMs) {
    harness.incidents.note(
      `unfinished: ${left.slice(0, 3).join('; ')}${left.length > 3 ? ' …' : ''}`,
    )
    await delay(ROUND_MS)
    left = await unfinished(harness, operator)
  }
  return left
}

async function unfinished(harness: Harness, operator: Operator): Promise<string[]> {
  const { vault, sandbox, subjects } = harness
  const left: string[] = []
  // Ordinary refreshes are in flight at any time. Only an older one counts as unfinished.
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
