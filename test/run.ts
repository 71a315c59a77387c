import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, globSync, readFileSync, realpathSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { inspect, parseArgs, styleText } from 'node:util'
import type { Result } from 'tap-parser'
import { slowestFirst } from './support/file-order.ts'
import { type FileReport, runFile, runPool } from './support/run-file.ts'
import { findServices, type Services, ServicesNotFound } from './support/services.ts'
import { dropDatabasesOf, dropLeftovers } from './support/services-probe.ts'

const help = `Usage: npm test [-- options file…]

Finds PostgreSQL and Redis, runs the tests and ends with "N passed, N failed". Without files it runs
test/*.test.ts, those that take longest first. Each file has a process of its own.

Options
  --jobs=NUMBER      files at the same time (default: see test/README.md)
  --timeout=SECONDS  limit for one file (default: 900)
  --grep=/PATTERN/   only tests with such a title; a second --grep is for the tests inside them
  --bail             end at the first failure

Environment
  TEST_DATABASE_URL  a PostgreSQL whose role may CREATE DATABASE; its databases amo_test_* are ours
  TEST_REDIS_URL     a Redis
  TEST_SERVICES      auto (default): the two above, then the default ports, then local binaries in
                     a temporary folder, then docker compose; or only one of: env, running, local,
                     compose
  TEST_CHROMIUM      a Chromium or Chrome (default: the one on the PATH); without one, the browser
                     tests are skipped, or fail when CI is set

Exit codes: 0 all passed; 1 something failed, or nothing ran; 130 and 143 interrupted.`

const root = join(import.meta.dirname, '..')
const tapBin = join(root, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs')

/**
 * Number of test files that run at the same time. A file waits for a part of its time, so three
 * files share two cores.
 */
const defaultJobs = Math.min(6, availableParallelism() + 1)

/** The databases of so many files are dropped together. */
const FILES_PER_CLEANUP = 12

/** Limit for one file, in seconds. The slowest file takes a minute on a quiet machine. */
const defaultTimeoutSeconds = 900

/**
 * Node keeps compiled modules here, for the test files and for the brokers that they start. Without
 * it, every one of about 200 processes compiles the same modules again.
 */
const compileCache = join(import.meta.dirname, '..', 'node_modules', '.cache', 'amo-test-compiled')

/** Fields of tap's diagnostics that the report does not need. */
const repeated = new Set(['at'])

/** Exit codes that a shell reports for these signals: 128 plus the number of the signal. */
const signalCodes: [NodeJS.Signals, number][] = [
  ['SIGHUP', 129],
  ['SIGINT', 130],
  ['SIGTERM', 143],
]

const counts = { passed: 0, failed: 0, skipped: 0 }
const failedTitles: string[] = []
const abort = new AbortController()
const running = new Set<ChildProcess>()
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
    const commandLine = readCommandLine(args)
    services = await findServices({ signal: abort.signal, log: (line) => say('dim', line) })
    await tidy(services.databaseUrl)
    await buildTap()
    await fillCompileCache()
    trouble = await runTests(commandLine, services)
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
      // The second signal ends the tests at once, without waiting for their teardown.
      endAll(interruptedCode ? 'SIGKILL' : name)
      interruptedCode = code
      abort.abort(new Error(name))
    })
  }
  // `npm test | head` closes the output early. The services must still be stopped.
  process.stdout.on('error', () => {
    endAll('SIGTERM')
    abort.abort(new Error('output closed'))
  })
}

function endAll(signal: NodeJS.Signals): void {
  for (const child of running) child.kill(signal)
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
 * Builds tap's test class when package.json names other plugins than it was built with. This is the
 * case after every `npm ci`, which brings the TypeScript plugin back, when .tap was removed, and
 * when .tap was copied from another checkout. tap would build it too, but only after it has passed
 * the loaders of the old plugins to the first run.
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
  const core = join('node_modules', '@tapjs', 'core')
  const link = join(root, '.tap', 'plugins', core)
  const linked = existsSync(link) && realpathSync(link) === realpathSync(join(root, core))
  if (signature.length > 0 && fits && linked) return
  say('dim', 'tap: building its plugins, once after an install')
  const code = await runChild([tapBin, 'build'])
  if (code !== 0) throw new Error(`tap build ended with ${code}; try: npm ci && npx tap build`)
}

/** Compiles the broker once. Brokers that a test kills write nothing into the cache themselves. */
async function fillCompileCache(): Promise<void> {
  if (existsSync(compileCache)) return
  await runChild(['src/main.ts', '--help'], { NODE_COMPILE_CACHE: compileCache })
}

type CommandLine = ReturnType<typeof readCommandLine>

/** Throws when an option is unknown. */
function readCommandLine(args: string[]) {
  return parseArgs({
    args,
    allowPositionals: true,
    options: {
      jobs: { type: 'string', default: String(defaultJobs) },
      timeout: { type: 'string', default: String(defaultTimeoutSeconds) },
      grep: { type: 'string', multiple: true },
      bail: { type: 'boolean', default: false },
    },
  })
}

/**
 * Runs the test files to their end.
 *
 * @returns the problem when something other than a test failed, otherwise undefined
 */
async function runTests(
  { values, positionals }: CommandLine,
  services: Services,
): Promise<string | undefined> {
  const files = positionals.length > 0 ? positionals : globSync('test/*.test.ts', { cwd: root })
  const missing = files.find((file) => !existsSync(join(root, file)))
  if (missing !== undefined) return `there is no ${missing}`
  const options = {
    cwd: root,
    timeoutSeconds: Number(values.timeout),
    env: {
      ...process.env,
      TEST_DATABASE_URL: services.databaseUrl,
      TEST_REDIS_URL: services.redisUrl,
      NODE_COMPILE_CACHE: compileCache,
      ...(values.bail ? { TAP_BAIL: '1' } : {}),
      ...(values.grep === undefined ? {} : { TAP_GREP: values.grep.join('\n') }),
    },
    onSpawn: watch,
  }
  const ended: string[] = []
  let cleanedUp = Promise.resolve()
  const cleanUp = () => {
    const owners = ended.splice(0)
    cleanedUp = cleanedUp.then(() => dropDatabases(services.databaseUrl, owners))
  }
  await runPool(slowestFirst(files), Number(values.jobs), async (file) => {
    if (abort.signal.aborted || (values.bail && counts.failed > 0)) return
    const owner = randomBytes(4).toString('hex')
    const env = { ...options.env, TEST_DATABASE_OWNER: owner }
    reportFile(await runFile(file, { ...options, env }))
    ended.push(owner)
    if (ended.length >= FILES_PER_CLEANUP) cleanUp()
  })
  cleanUp()
  await cleanedUp
  if (interruptedCode) return 'interrupted'
  if (counts.passed + counts.failed === 0) return 'no test ran'
  return undefined
}

async function dropDatabases(databaseUrl: string, owners: string[]): Promise<void> {
  try {
    await dropDatabasesOf(databaseUrl, owners)
  } catch (error) {
    say('yellow', `test databases stay, a run an hour from now drops them: ${describe(error)}`)
  }
}

/** Passes signals on to a child process while it runs. */
function watch(child: ChildProcess): void {
  running.add(child)
  child.once('close', () => running.delete(child))
}

/** Runs a script of Node to its end. */
async function runChild(
  args: string[],
  env: Record<string, string> = {},
): Promise<number | NodeJS.Signals | null> {
  abort.signal.throwIfAborted()
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  watch(child)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal))
  })
}

/** Prints one line for the file, and each failure in full. */
function reportFile(report: FileReport): void {
  const { name, seconds, processorSeconds, results, extra, failure } = report
  const failures = results.filter(({ ok, skip, todo }) => !ok && !skip && !todo)
  const skips = results.filter(({ skip, todo }) => skip || todo)
  const passed = results.length - failures.length - skips.length
  counts.passed += passed
  counts.failed += failures.length
  counts.skipped += skips.length
  const isOk = failures.length === 0 && failure === undefined
  const tally =
    failures.length > 0 ? `${failures.length} of ${results.length} failed` : `${passed} passed`
  if (extra.trim() !== '') process.stdout.write(extra)
  const processor =
    processorSeconds === undefined ? '' : `, ${processorSeconds.toFixed(1)} s of processor time`
  const time = `${seconds.toFixed(1)} s${processor}`
  say(isOk ? 'green' : 'red', `${isOk ? '✔' : '✖'} ${name}: ${tally}, ${time}`)
  for (const { fullname, skip, todo } of skips) {
    const reason = [skip, todo].filter((each) => typeof each === 'string').join(' ')
    say('yellow', `    ${skip ? 'skipped' : 'to do'}: ${fullname} ${reason}`)
  }
  for (const each of failures) reportFailure(each)
  // A failed assertion also fails the process. Only a failure without one needs its own line.
  if (failure === undefined || failures.length > 0) return
  counts.failed += 1
  failedTitles.push(`${name}: ${failure}`)
  say('red', `    ✖ ${name}: ${failure}`)
}

function reportFailure({ fullname, diag }: Result): void {
  failedTitles.push(fullname)
  say('red', `    ✖ ${fullname}`)
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

/** Prints the closing line and returns the exit code that agrees with it. */
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
  if ((error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) {
    return `${(error as Error).message}\n\n${help}`
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
