import { type Figure, ratios } from '../figures.ts'
import { cpuMicros, playRounds, tail, throughput } from '../rounds.ts'
import { startBroker, startSide } from '../servers.ts'
import { makeWorld, pathsOf, sibling } from '../world.ts'
import type { Part } from './part.ts'

const ACCOUNTS = 100

/**
 * Compares the broker's read with the least that it could cost and with the code that teams write
 * themselves.
 */
export const reads: Part = {
  name: 'reads',
  title: `Reads of ${ACCOUNTS} accounts, one process each`,
  async run(scope, bench) {
    const world = await makeWorld(scope, { ...bench, accounts: ACCOUNTS })
    const { databaseUrl, redisUrl, vault, folder } = world
    const { before } = bench
    const paths = pathsOf(world.subjects)
    const broker = await startBroker(scope, world)
    const uncached = await startBroker(scope, world, { CACHE_ACCOUNTS: '0' })
    const authorization = await sibling(world, broker.origin)
    const answer = await fetch(broker.origin + paths[0], { headers: { authorization } })
    const ENCRYPTION_KEYS = vault.encryptionKeys
    const own = { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, ENCRYPTION_KEYS }
    const servers = {
      bare: await startSide(scope, folder, 'bare', { BODY: await answer.text() }),
      hit: broker,
      miss: uncached,
      select: await startSide(scope, folder, 'select-and-open', own),
      lock: await startSide(scope, folder, 'lock-on-every-read', own),
      ...(before === undefined
        ? {}
        : {
            'hit before': await startBroker(scope, world, {}, before),
            'miss before': await startBroker(scope, world, { CACHE_ACCOUNTS: '0' }, before),
          }),
    }
    const aims = Object.entries(servers).map(
      ([
        side,
        {
          origin,
          process: { pid },
        },
      ]) => {
        return [side, { origin, paths, authorization, pid }] as const
      },
    )
    const sides = await playRounds(bench, Object.fromEntries(aims))
    const perSecond = (side: string) => throughput(sides, side)
    const hit = perSecond('hit')
    const figures: Figure[] = [
      {
        name: 'hit ÷ bare, requests per second',
        values: ratios(hit, perSecond('bare')),
        target: { is: 'at least', value: 0.95 },
      },
      {
        name: 'hit ÷ bare, p99 latency',
        values: ratios(tail(sides, 'hit'), tail(sides, 'bare')),
        target: { is: 'at most', value: 1.2 },
      },
      {
        name: 'hit ÷ own select and open',
        values: ratios(hit, perSecond('select')),
        target: { is: 'at least', value: 4 },
      },
      {
        name: 'hit ÷ lock on every read',
        values: ratios(hit, perSecond('lock')),
        target: { is: 'at least', value: 8 },
      },
      {
        name: 'miss ÷ own select and open',
        values: ratios(perSecond('miss'), perSecond('select')),
        target: { is: 'at least', value: 0.9 },
      },
    ]
    if (before !== undefined) {
      for (const side of ['hit', 'miss']) {
        figures.push({
          name: `${side} ÷ ${side} of the commit before, requests per second`,
          values: ratios(perSecond(side), perSecond(`${side} before`)),
        })
      }
    }
    for (const side of Object.keys(servers)) {
      figures.push({ name: `${side}, requests per second`, values: perSecond(side) })
      const micros = cpuMicros(sides, side)
      figures.push({ name: `${side}, processor time of a request`, values: micros, unit: ' µs' })
      figures.push({ name: `${side}, p99`, values: tail(sides, side), unit: ' ms' })
    }
    return figures
  },
}
