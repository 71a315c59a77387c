import { parseArgs } from 'node:util'
import { findServices } from '../support/services.ts'
import { withTeardown } from '../support/teardown-scope.ts'
import { runDisaster } from './disaster.ts'
import { openFleet } from './fleet.ts'
import { runMove } from './move.ts'

const help = `Usage: node test/disaster/main.ts [options]

Loses the database of three brokers under load, twice, and restores last night's
dump and the escrow: first with the disks of the brokers, then without them and
without Redis. Then moves them to another PostgreSQL. The sandbox's books decide
what was lost and what was sent twice.

  --accounts <n>   default 1000
  --callers <n>    default 50
  --lifetime <s>   of an access token, in seconds; default 60
  --help`

const { values } = parseArgs({
  options: {
    accounts: { type: 'string', default: '1000' },
    callers: { type: 'string', default: '50' },
    lifetime: { type: 'string', default: '60' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) console.log(help)
else process.exitCode = await main()

async function main(): Promise<number> {
  await using stack = new AsyncDisposableStack()
  const services = await findServices({ log: () => {} })
  stack.defer(() => services.stop())
  process.env.TEST_DATABASE_URL = services.databaseUrl
  process.env.TEST_REDIS_URL = services.redisUrl
  const problems: string[] = []
  await withTeardown(async (scope) => {
    const fleet = await openFleet(scope, {
      accounts: Number(values.accounts),
      callers: Number(values.callers),
      lifetimeSeconds: Number(values.lifetime),
      problem: (text) => problems.push(text),
    })
    await runDisaster(fleet, { losesDisks: false })
    const lost = await runDisaster(fleet, { losesDisks: true })
    await runMove(fleet, lost)
  })
  for (const text of problems) console.log(`VIOLATION: ${text}`)
  console.log(problems.length === 0 ? 'no violation' : `${problems.length} violations`)
  return problems.length === 0 ? 0 : 1
}
