import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { inspect, styleText } from 'node:util'
import { Parser, type Result } from 'tap-parser'
import { findServices, type Services, ServicesNotFound } from './support/services.ts'
import { dropLeftovers } from './support/services-probe.ts'

const help = `Usage: npm test [-- file… --tap-option=value…]

Finds PostgreSQL and Redis, runs the tests with tap and closes with "N passed, N failed".
Without files it runs test/*.test.ts. Options go to tap ("npx tap --help"), for example
--jobs=1, --bail, --timeout=300, --grep=/refresh/. The reporter is the runner's own.

Environment
  TEST_DATABASE_URL  a PostgreSQL whose role may CREATE DATABASE; its databases amo_test_* are ours
  TEST_REDIS_URL     a Redis
  TEST_SERVICES      auto (default): the two above, then the default ports, then local binaries in
                     a temporary folder, then docker compose; or one way only: env, running, local,
                     compose
  TEST_CHROMIUM      a Chromium or Chrome (default: the one on the PATH); without any the tests in a
                     browser are skipped, and fail where CI is set

Exit codes: 0 all passed; 1 something failed, or nothing ran; 130 and 143 interrupted.`

const root = join(import.meta.dirname, '..')
const tapBin = join(root, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs')

/** A test file is CPU-bound beside its PostgreSQL backend; more than four starve both. */
const jobs = Math.min(4, availableParallelism())

/** Seconds a file may take. The slowest legitimate file waits for child processes to lock. */
const fileTimeoutSeconds = 600

/** What tap tells of a failure and the report says already, or nobody needs. */
const repeated = new Set(['at', 'args', 'command', 'cwd', 'externalID', 'jobId', 'stdio', 'test'])

/** A shell's own codes for these signals: 128 and the signal's number. */
const signalCodes: [NodeJS.Signals, number][] = [
  ['SIGHUP', 129],
  ['SIGINT', 130],
  ['SIGTERM', 143],
]

const counts = { passed: 0, failed: 0, skipped: 0 }
const failedTitles: string[] = []
const abort = new AbortController()
let running: ChildProcess | undefined
let interruptedCode: number | undefined

if (process.argv.includes('--help') || process.argv.includes('-h')) {
  console.log(help)
} else {
  process.exitCode = await main(process.argv.slice(2))
}

async function main(args: string[]): Promise<number> {
  listenForSignals()
  let services: Services | undefined
  let trouble: string | undefined
  try {
    services = await findServices({ signal: abort.signal, log: (line) => say('dim', line) })
    await tidy(services.databaseUrl)
    await buildTap()
    trouble = await runTap(args, services)
  } catch (error) {
    trouble = interruptedCode ? 'interrupted' : describe(error)
  } finally {
    await services?.stop().catch((error: unknown) => say('red', `not stopped: ${describe(error)}`))
  }
  return summarize(trouble)
}

function listenForSignals(): void {
  for (const [name, code] of signalCodes) {
    process.on(name, () => {
      // Who asks twice does not want to wait for the tests' own farewell.
      running?.kill(interruptedCode ? 'SIGKILL' : name)
      interruptedCode = code
      abort.abort(new Error(name))
    })
  }
  // `npm test | head` closes our output early; the services must be stopped all the same.
  process.stdout.on('error', () => {
    running?.kill('SIGTERM')
    abort.abort(new Error('output closed'))
  })
}

async function tidy(databaseUrl: string): Promise<void> {
  try {
    const dropped = await dropLeftovers(databaseUrl)
    if (dropped.length > 0) say('dim', `dropped ${dropped.length} left-over test databases`)
  } catch (error) {
    say('yellow', `left-over test databases stay: ${describe(error)}`)
  }
}

/**
 * Builds tap's test class when package.json asks for other plugins than it was built with: after
 * every `npm ci`, which brings the TypeScript plugin back, and when .tap was removed. tap would do
 * so by itself, but only after it has handed the old plugins' loaders to the first run.
 */
async function buildTap(): Promise<void> {
  const built = join(
    root,
    'node_modules',
    '@tapjs',
    'test',
    'test-built',
    'dist',
    'esm',
    'index.js',
  )
  const source = existsSync(built) ? readFileSync(built, 'utf8') : ''
  const signature = /^export const signature = `([^`]*)`/m.exec(source)?.[1]?.split('\n') ?? []
  const manifest: { tap?: { plugin?: string[] } } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  )
  const fits = (manifest.tap?.plugin ?? []).every((name) =>
    name.startsWith('!') ? !signature.includes(name.slice(1)) : signature.includes(name),
  )
  const linked = existsSync(join(root, '.tap', 'plugins', 'node_modules', '@tapjs', 'core'))
  if (signature.length > 0 && fits && linked) return
  say('dim', 'tap: building its plugins, once after an install')
  const code = await runChild([tapBin, 'build'], () => {})
  if (code !== 0) throw new Error(`tap build ended with ${code}; try: npm ci && npx tap build`)
}

/** Runs tap to its end. Returns what went wrong beside failing tests, if anything did. */
async function runTap(args: string[], services: Services): Promise<string | undefined> {
  const named = args.some((arg) => !arg.startsWith('-'))
  const files = named ? [] : globSync('test/*.test.ts', { cwd: root })
  if (!named && files.length === 0) return 'there is no test/*.test.ts'
  const options = [`--jobs=${jobs}`, `--timeout=${fileTimeoutSeconds}`]
  const parser = makeReporter()
  const code = await runChild(
    [tapBin, 'run', ...options, ...files.sort(), ...args, '--reporter=tap'],
    (chunk) => parser.write(chunk),
    { TEST_DATABASE_URL: services.databaseUrl, TEST_REDIS_URL: services.redisUrl },
  )
  parser.end()
  if (interruptedCode) return 'interrupted'
  if (code !== 0 && counts.failed === 0) return `tap ended with ${code}`
  if (counts.passed + counts.failed === 0) return 'no test ran'
  return undefined
}

async function runChild(
  args: string[],
  onOutput: (chunk: Buffer) => void,
  env: Record<string, string> = {},
): Promise<number | NodeJS.Signals | null> {
  abort.signal.throwIfAborted()
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running = child
  child.stdout.on('data', onOutput)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal))
  })
}

/** Reads tap's own output: a line for each file, and each failure in full. */
function makeReporter(): Parser {
  const parser = new Parser()
  const results: Result[] = []
  let ended: Result | undefined
  const flush = () => {
    if (ended) reportFile(ended, results.splice(0))
    ended = undefined
  }
  // A 'result' is an assertion, or a test that failed by itself: a timeout, a crash, a broken plan.
  parser.on('result', (result: Result) => {
    results.push(result)
    if (result.skip || result.todo) counts.skipped += 1
    else if (result.ok) counts.passed += 1
    else counts.failed += 1
  })
  // At the top level, an 'assert' is the end of a test file. The file's own result comes right after
  // it, so the report waits for the end of this turn, or for the next file's beginning.
  parser.on('assert', (file: Result) => {
    flush()
    ended = file
    queueMicrotask(flush)
  })
  parser.on('child', flush)
  parser.on('complete', flush)
  parser.on('bailout', (reason: string) => say('red', `bail out! ${reason}`))
  parser.on('extra', (text: string) => {
    if (text.trim() !== '' && !text.includes('1..0 # no tests found')) process.stdout.write(text)
  })
  return parser
}

function reportFile(file: Result, results: Result[]): void {
  const failures = results.filter(({ ok, skip, todo }) => !ok && !skip && !todo)
  const skips = results.filter(({ skip, todo }) => skip || todo)
  const passed = results.length - failures.length - skips.length
  const tally =
    failures.length > 0 ? `${failures.length} of ${results.length} failed` : `${passed} passed`
  const seconds = file.time ? `, ${(file.time / 1000).toFixed(1)} s` : ''
  say(file.ok ? 'green' : 'red', `${file.ok ? '✔' : '✖'} ${file.name}: ${tally}${seconds}`)
  for (const { fullname, name, skip, todo } of skips) {
    const reason = [skip, todo].filter((each) => typeof each === 'string').join(' ')
    say('yellow', `    ${skip ? 'skipped' : 'to do'}: ${fullname || name} ${reason}`)
  }
  for (const failure of failures) reportFailure(failure)
}

function reportFailure({ fullname, name, diag }: Result): void {
  const title = fullname.endsWith(name) ? fullname : `${fullname} > ${name}`
  failedTitles.push(title)
  say('red', `    ✖ ${title}`)
  for (const [key, value] of Object.entries(diag ?? {})) {
    if (repeated.has(key) || value === null) continue
    const text = typeof value === 'string' ? value.trimEnd() : inspect(value)
    console.log(
      `        ${key}: ${text.includes('\n') ? `\n${text}` : text}`.replaceAll(
        '\n',
        '\n          ',
      ),
    )
  }
}

/** Prints the last line and returns the exit code; red on the one is red on the other. */
function summarize(trouble: string | undefined): number {
  if (failedTitles.length > 0) say('red', `\nFailed:\n  ${failedTitles.join('\n  ')}`)
  if (trouble) say('red', `\n${trouble}`)
  if (trouble && counts.failed === 0) counts.failed = 1
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
  console.log(`\n${counts.passed} passed, ${counts.failed} failed${skipped}`)
  return interruptedCode ?? (counts.failed > 0 ? 1 : 0)
}

function say(colour: 'dim' | 'green' | 'red' | 'yellow', text: string): void {
  console.log(styleText(colour, text))
}

function describe(error: unknown): string {
  if (error instanceof ServicesNotFound) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
