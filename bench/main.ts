import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findServices } from '../test/support/services.ts'
import { withTeardown } from '../test/support/teardown-scope.ts'
import { tableOf } from './figures.ts'
import { findLoader } from './load.ts'
import { callers } from './parts/callers.ts'
import { consoles } from './parts/consoles.ts'
import { deadEndpoint } from './parts/dead-endpoint.ts'
import { lists } from './parts/lists.ts'
import { memory } from './parts/memory.ts'
import type { Bench } from './parts/part.ts'
import { reads } from './parts/reads.ts'
import { replicas } from './parts/replicas.ts'
import { scale } from './parts/scale.ts'
import { scrapes } from './parts/scrapes.ts'
import { start } from './parts/start.ts'
import { storm } from './parts/storm.ts'

const PARTS = [
  reads,
  start,
  scale,
  lists,
  replicas,
  callers,
  storm,
  deadEndpoint,
  consoles,
  scrapes,
  memory,
]
const README = new URL('README.md', import.meta.url)

const help = `Usage: npm run bench -- [options]

Measures the cost of a read, compared with a bare HTTP server and with the code that teams write
themselves, and the cost of many accounts. Everything takes half an hour. PostgreSQL and Redis are
found as for the tests. Keep the machine idle.

  --only <names>         ${PARTS.map(({ name }) => name).join(', ')}; separated by commas
  --rounds <n>           default 5
  --seconds <n>          duration of one load in one round; default 5
  --connections <n>      default 32
  --soak <minutes>       duration of the load in the part memory; default 10
  --before <folder>      checkout of another commit with its node_modules: the parts
                         reads and start measure it beside this one, in the same rounds
  --load <tool>          wrk or autocannon; default wrk where it is installed
  --write                replaces the tables in bench/README.md
  --help`

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
    soak: { type: 'string', default: '10' },
    before: { type: 'string' },
    load: { type: 'string' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) console.log(help)
else await main()

async function main(): Promise<void> {
  const only = values.only?.split(',')
  const unknown = only?.filter((name) => !PARTS.some((part) => part.name === name)) ?? []
  if (unknown.length > 0) throw new Error(`no part is called ${unknown.join(', ')}; see --help`)
  const chosen = PARTS.filter(({ name }) => only?.includes(name) ?? true)
  await using stack = new AsyncDisposableStack()
  const services = await findServices({ log: () => {} })
  stack.defer(() => services.stop())
  process.env.TEST_DATABASE_URL = services.databaseUrl
  const folder = await mkdtemp(join(tmpdir(), 'amo-bench-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const bench: Bench = {
    folder,
    redisUrl: services.redisUrl,
    loader: await findLoader(values.load, folder),
    rounds: number('rounds'),
    seconds: number('seconds'),
    connections: number('connections'),
    soakMinutes: number('soak'),
    before: values.before,
    say: (line) => console.log(line),
  }
  const machine = describe(services.how, bench)
  console.log(machine)
  for (const { name, title, run } of chosen) {
    console.log(`\n${name}: ${title}`)
    try {
      const table = tableOf(await withTeardown((scope) => run(scope, bench)))
      console.log(`\n${table}`)
      if (values.write) await write(name, `### ${title}\n\n${machine}\n\n${table}`)
    } catch (error) {
      // The other parts are still useful.
      console.error(error)
      process.exitCode = 1
    }
  }
}

function number(name: 'rounds' | 'seconds' | 'connections' | 'soak'): number {
  const value = Number(values[name])
  const least = name === 'soak' ? 2 : 1
  if (Number.isInteger(value) && value >= least) return value
  throw new Error(`--${name} must be a whole number, at least ${least}`)
}

/** Describes machine, versions and commit, which the figures depend on. */
function describe(how: string[], { loader, rounds, seconds, connections }: Bench): string {
  const [cpu] = cpus()
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim()
  const measured = ['src', 'bench', 'sql', 'package.json', ':!bench/README.md']
  const isClean = git('status', '--porcelain', '--', ...measured) === ''
  const commit = git('rev-parse', '--short', 'HEAD') + (isClean ? '' : ' and changes')
  const memoryGb = Math.round(totalmem() / 2 ** 30)
  return [
    `${new Date().toISOString().slice(0, 10)}, commit ${commit}. ${cpus().length} × ${cpu?.model}, ${memoryGb} GB;`,
    `Node ${process.versions.node}; ${how.map((line) => line.replace(/ at .*/, '')).join('; ')}; ${loader.name},`,
    `${connections} connections; ${rounds} rounds of ${seconds} s.`,
  ].join('\n')
}

/** Replaces the earlier results of this part in the README. */
async function write(name: string, text: string): Promise<void> {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const readme = await readFile(README, 'utf8')
  const [before, after] = [readme.split(begin)[0], readme.split(end)[1]]
  await writeFile(README, `${before}${begin}\n\n${text}\n\n${end}${after}`)
}
