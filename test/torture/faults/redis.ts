import { setTimeout as delay } from 'node:timers/promises'
import type { Harness } from '../harness.ts'
import { orderAtAll } from '../order-at-all.ts'
import { between, type Fault, pick, type Random } from './fault.ts'
import { infrastructureFault } from './healthy.ts'

const MEET_LIMIT_MS = 20_000

export const redisFaults: Fault[] = [
  infrastructureFault('Redis down for all', (harness, random) =>
    mode(harness, random, 'refuse', true),
  ),
  infrastructureFault('Redis down for one replica', (harness, random) =>
    mode(harness, random, 'refuse', false),
  ),
  infrastructureFault('Redis hanging for all', (harness, random) =>
    mode(harness, random, 'hang', true),
  ),
  infrastructureFault('Redis hanging for one replica', (harness, random) =>
    mode(harness, random, 'hang', false),
  ),
  infrastructureFault('Redis slow', async ({ replicas }, random) => {
    for (const { proxies } of replicas) proxies.redis.slow(between(50, 400, random))
    await delay(between(2_000, 5_000, random))
    for (const { proxies } of replicas) proxies.redis.slow(0)
  }),
  infrastructureFault('Redis connections cut', async ({ replicas }) => {
    for (const { proxies } of replicas) proxies.redis.cut()
  }),
  infrastructureFault('Redis restarted, empty', async ({ redis, redisLosses }) => {
    redisLosses.push(Date.now())
    await redis.restart()
  }),
  infrastructureFault('Redis flushed', async ({ redis, redisLosses }) => {
    redisLosses.push(Date.now())
    await redis.flush()
  }),
  infrastructureFault('Redis flushed in mid-lock', flushInMidLock),
]

async function mode(
  { replicas }: Harness,
  random: Random,
  how: 'refuse' | 'hang',
  isAll: boolean,
): Promise<undefined> {
  const victims = isAll ? replicas : [pick(replicas, random)]
  for (const { proxies } of victims) proxies.redis.set(how)
  await delay(between(1_000, 6_000, random))
  for (const { proxies } of victims) proxies.redis.set('pass')
}

/**
 * Stops a process that has just taken a lock, and makes Redis forget the lock. Returns false when
 * no process took one.
 */
async function flushInMidLock(harness: Harness, random: Random): Promise<boolean> {
  const replica = pick(harness.replicas, random)
  const order = { step: 'lock_taken', signal: 'SIGSTOP' } as const
  const entry = await orderAtAll([replica], harness.journal, order, MEET_LIMIT_MS)
  if (entry === undefined) return false
  harness.redisLosses.push(Date.now())
  await harness.redis.flush()
  await delay(between(100, 2_000, random))
  replica.thaw()
  return true
}
