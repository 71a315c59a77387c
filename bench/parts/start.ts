import { readFile } from 'node:fs/promises'
import { withTeardown } from '../../test/support/teardown-scope.ts'
import { type Figure, ratios } from '../figures.ts'
import { startBroker } from '../servers.ts'
import { makeWorld } from '../world.ts'
import type { Part } from './part.ts'

const ACCOUNTS = 1_000_000
const WORKING_SET = 100
const KIB = 1_024

/** Starts the broker again and again, in turn with that of another commit. */
export const start: Part = {
  name: 'start',
  title: `Start to ready with ${ACCOUNTS.toLocaleString('en')} accounts`,
  async run(scope, bench) {
    const { before, rounds, say } = bench
    say(`  a database with ${ACCOUNTS.toLocaleString('en')} accounts`)
    const bystanders = ACCOUNTS - WORKING_SET
    const world = await makeWorld(scope, { ...bench, accounts: WORKING_SET, bystanders })
    const checkouts = { now: '.', ...(before === undefined ? {} : { before }) }
    const tookMs: Record<string, number[]> = { now: [], before: [] }
    const residentMb: Record<string, number[]> = { now: [], before: [] }
    // The first round fills the cache of compiled code.
    for (let round = 0; round <= rounds; round += 1) {
      for (const [name, checkout] of Object.entries(checkouts)) {
        await withTeardown(async (each) => {
          const { process, readyAfterMs } = await startBroker(each, world, {}, checkout)
          const mb = await residentMbOf(process.pid)
          say(`  round ${round}: ${name}: ${readyAfterMs.toFixed(0)} ms, ${mb.toFixed(0)} MB`)
          if (round === 0) return
          tookMs[name]?.push(readyAfterMs)
          residentMb[name]?.push(mb)
        })
      }
    }
    const { now = [], before: earlier = [] } = tookMs
    const figures: Figure[] = [
      { name: 'start to ready', values: now, unit: ' ms' },
      { name: 'resident memory when ready', values: residentMb.now ?? [], unit: ' MB' },
    ]
    if (before === undefined) return figures
    return [
      {
        name: 'start to ready ÷ that of the commit before',
        values: ratios(now, earlier),
        target: { is: 'at most', value: 0.7 },
      },
      ...figures,
      { name: 'start to ready, the commit before', values: earlier, unit: ' ms' },
      {
        name: 'resident memory when ready, the commit before',
        values: residentMb.before ?? [],
        unit: ' MB',
      },
    ]
  },
}

async function residentMbOf(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / KIB
}
