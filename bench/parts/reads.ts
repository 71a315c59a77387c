import { type Figure, ratios } from '../figures.ts'
import { playRounds, tail, throughput } from '../rounds.ts'
import { startBroker, startSide } from '../servers.ts'
import { makeWorld, pathsOf, sibling } from '../world.ts'
import type { Part } from './part.ts'

const ACCOUNTS = 100

/** The broker's read beside what it could cost at best, and beside what teams write themselves. */
export const reads: Part = {
  name: 'reads',
  title: `Reads of ${ACCOUNTS} accounts, one process each`,
  async run(scope, bench) {
    const world = await makeWorld(scope, { ...bench, accounts: ACCOUNTS })
    const { databaseUrl, redisUrl, vault, folder } = world
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
    }
    const aims = Object.entries(servers).map(([side, { origin }]) => {
      return [side, { origin, paths, authorization }] as const
    })
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
      },
    ]
    for (const side of Object.keys(servers)) {
      figures.push({ name: `${side}, requests per second`, values: perSecond(side) })
      figures.push({ name: `${side}, p99`, values: tail(sides, side), unit: ' ms' })
    }
    return figures
  },
}
