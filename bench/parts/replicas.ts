import { playAll } from '../rounds.ts'
import { startBroker } from '../servers.ts'
import { makeWorld, pathsOf, sibling } from '../world.ts'
import type { Part } from './part.ts'

const ACCOUNTS = 100

/**
 * Measures one process, and three on the same database, each loaded separately at the same time.
 */
export const replicas: Part = {
  name: 'replicas',
  title: '1 and 3 replicas, each loaded separately',
  async run(scope, bench) {
    const world = await makeWorld(scope, { ...bench, accounts: ACCOUNTS })
    const paths = pathsOf(world.subjects)
    const aims = []
    for (let nth = 0; nth < 3; nth += 1) {
      const { origin } = await startBroker(scope, world)
      aims.push({ origin, paths, authorization: await sibling(world, origin) })
    }
    const [one, three]: [number[], number[]] = [[], []]
    for (let round = 0; round <= bench.rounds; round += 1) {
      const single = await playAll(bench, aims.slice(0, 1))
      const all = await playAll(bench, aims)
      // The first round warms up.
      if (round === 0) continue
      one.push(single)
      three.push(all)
      bench.say(`  round ${round}: ${Math.round(single)}/s by one, ${Math.round(all)}/s by three`)
    }
    return [
      { name: 'hits of 1 replica, requests per second', values: one },
      { name: 'hits of 3 replicas together', values: three },
    ]
  },
}
