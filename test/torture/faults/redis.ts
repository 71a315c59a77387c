import { setTimeout as delay } from 'node:timers/promises'
import { orderAtAll } from '../order-at-all.ts'
import type { Stage } from '../stage.ts'
import { between, type Fault, pick, type Random } from './fault.ts'
import { untilHealthy } from './healthy.ts'

const MEET_LIMIT_MS = 20_000

export const redisFaults: Fault[] = [
  onRedis('Redis down for all', (stage, random) => mode(stage, random, 'refuse', true)),
  onRedis('Redis down for one replica', (stage, random) => mode(stage, random, 'refuse', false)),
  onRedis('Redis hanging for all', (stage, random) => mode(stage, random, 'hang', true)),
  onRedis('Redis hanging for one replica', (stage, random) => mode(stage, random, 'hang', false)),
  onRedis('Redis slow', async ({ replicas }, random) => {
    for (const { proxies } of replicas) proxies.redis.slow(between(50, 400, random))
    await delay(between(2_000, 5_000, random))
    for (const { proxies } of replicas) proxies.redis.slow(0)
  }),
  onRedis('Redis connections cut', async ({ replicas }) => {
    for (const { proxies } of replicas) proxies.redis.cut()
  }),
  onRedis('Redis restarted, empty', async ({ redis, redisLosses }) => {
    redisLosses.push(Date.now())
    await redis.restart()
  }),
  onRedis('Redis flushed', async ({ redis, redisLosses }) => {
    redisLosses.push(Date.now())
    await redis.flush()
  }),
  onRedis('Redis flushed in mid-lock', flushInMidLock),
]

function onRedis(
  name: string,
  work: (stage: Stage, random: Random) => Promise<boolean | undefined>,
): Fault {
  return {
    name,
    async inject(stage, random) {
      const incident = stage.incidents.begin(name)
      if ((await work(stage, random)) === false) return stage.incidents.drop(incident)
      const tookMs = await untilHealthy(stage)
      return stage.incidents.end(
        incident,
        tookMs === undefined ? 'NOT RECOVERED' : 'healthy',
        tookMs,
      )
    },
  }
}

async function mode(
  { replicas }: Stage,
  random: Random,
  how: 'refuse' | 'hang',
  isAll: boolean,
): Promise<undefined> {
  const victims = isAll ? replicas : [pick(replicas, random)]
  for (const { proxies } of victims) proxies.redis.set(how)
  await delay(between(1_000, 6_000, random))
  for (const { proxies } of victims) proxies.redis.set('pass')
}

/** Whoever has just taken a lock is stopped while Redis forgets it. False: nobody took one. */
async function flushInMidLock(stage: Stage, random: Random): Promise<boolean> {
  const replica = pick(stage.replicas, random)
  const order = { step: 'lock_taken', signal: 'SIGSTOP' } as const
  const entry = await orderAtAll([replica], stage.journal, order, MEET_LIMIT_MS)
  if (entry === undefined) return false
  stage.redisLosses.push(Date.now())
  await stage.redis.flush()
  await delay(between(100, 2_000, random))
  replica.thaw()
  return true
}
