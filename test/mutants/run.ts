import { availableParallelism } from 'node:os'
import { parseArgs, styleText } from 'node:util'
import { type MutantResult, runMutation, whyStale } from './mutant.ts'
import type { Mutation } from './mutation.ts'
import { MUTATIONS } from './mutations.ts'

const help = `Usage: npm run mutants [-- --only <words> … --jobs <n> --list]

Takes each guard out of a copy of the repository and runs the tests that must notice.
A mutant that lives is a guard without a test. A stale one no longer finds its guard.

  --only <words>  mutations whose name contains the words; may be given more than once
  --jobs <n>      copies that run at the same time (default 1, at most the processors)
  --list          names them and shows which are stale; runs nothing
  --baseline      runs the same tests on the source as it is: each must pass
  --help

Exit codes: 0 every mutant was caught; 1 one lives, is stale, or could not be run.`

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    jobs: { type: 'string', default: '1' },
    list: { type: 'boolean', default: false },
    baseline: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

if (values.help) console.log(help)
else process.exitCode = await main()

async function main(): Promise<number> {
  const { only } = values
  const chosen = MUTATIONS.filter(
    ({ guard }) => only?.some((words) => guard.toLowerCase().includes(words.toLowerCase())) ?? true,
  )
  if (chosen.length === 0) {
    console.error(`no mutation is called ${only?.join(' or ')}; see --list`)
    return 1
  }
  return values.list ? list(chosen) : runAll(chosen)
}

function list(mutations: Mutation[]): number {
  const stale = mutations.filter((mutation) => {
    const reason = whyStale(mutation)
    console.log(reason === undefined ? mutation.guard : `${mutation.guard} — stale: ${reason}`)
    return reason !== undefined
  })
  return stale.length > 0 ? 1 : 0
}

async function runAll(mutations: Mutation[]): Promise<number> {
  const jobs = Math.min(Number(values.jobs) || 1, availableParallelism(), mutations.length)
  const results: [Mutation, MutantResult][] = []
  const queue = [...mutations]
  const abort = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => abort.abort())
  const work = async () => {
    for (let next = queue.shift(); next && !abort.signal.aborted; next = queue.shift()) {
      const stale = whyStale(next)
      const result: MutantResult =
        stale === undefined
          ? await runMutation(next, { isBaseline: values.baseline, signal: abort.signal })
          : { end: 'stale', detail: stale, seconds: 0 }
      results.push([next, result])
      console.log(lineOf(next, result))
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))
  printTable(results)
  const isGood = ({ end }: MutantResult) => end === (values.baseline ? 'alive' : 'caught')
  const bad = results.filter(([, result]) => !isGood(result))
  const words = values.baseline ? 'of them pass without a mutation' : 'mutants caught'
  console.log(`\n${results.length - bad.length} of ${mutations.length} ${words}`)
  return bad.length > 0 || abort.signal.aborted ? 1 : 0
}

function lineOf({ guard }: Mutation, { end, detail, seconds }: MutantResult): string {
  const isGood = end === (values.baseline ? 'alive' : 'caught')
  const mark = styleText(isGood ? 'green' : 'red', `${isGood ? '✔' : '✖'} ${end}`)
  return `${mark} ${guard}, ${seconds.toFixed(0)} s: ${detail}`
}

/** Prints the table of test/mutants/README.md. */
function printTable(results: [Mutation, MutantResult][]): void {
  const order = new Map(MUTATIONS.map((mutation, index) => [mutation, index]))
  results.sort(([left], [right]) => (order.get(left) ?? 0) - (order.get(right) ?? 0))
  console.log('\n| guard taken out | end | by | s |\n|---|---|---|---|')
  for (const [{ guard }, { end, detail, seconds }] of results) {
    console.log(`| ${guard} | ${end} | ${detail.replaceAll('|', '\\|')} | ${seconds.toFixed(0)} |`)
  }
}
