import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { Parser, type Result } from 'tap-parser'

/** Time for a test file to report its own timeout, before it is killed. */
const REPORT_MS = 10_000

/** Ticks of `/proc/<pid>/stat` in a second: USER_HZ, on the platforms that Node runs on. */
const TICKS_PER_SECOND = 100

/** What a test file reported until it ended. */
export interface FileReport {
  name: string
  seconds: number
  /** Processor time of the file and of the processes that it waited for; undefined: unknown. */
  processorSeconds: number | undefined
  results: Result[]
  /** Lines of its output that are no test results. */
  extra: string
  /** How the file failed when no assertion did: its exit, its signal, or a missing plan. */
  failure: string | undefined
}

interface RunFileOptions {
  cwd: string
  env: NodeJS.ProcessEnv
  timeoutSeconds: number
  /** Called with the process, so that signals can be passed on. */
  onSpawn: (child: ChildProcess) => void
}

/**
 * Runs one test file in a process of its own and reads its results. The process starts without the
 * loaders that `tap run` adds. They serve mocks and coverage, which no test uses, and take a third
 * of the processor time of loading a test file and each process that it starts.
 */
export async function runFile(name: string, options: RunFileOptions): Promise<FileReport> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, [name], {
    cwd: options.cwd,
    env: { ...options.env, TAP: '1', TAP_TIMEOUT: String(options.timeoutSeconds) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  options.onSpawn(child)
  const killer = setTimeout(() => child.kill('SIGKILL'), options.timeoutSeconds * 1000 + REPORT_MS)
  const results: Result[] = []
  let extra = ''
  const parser = new Parser({ name })
  parser.on('result', (result: Result) => results.push(result))
  parser.on('extra', (line: string) => {
    extra += line
  })
  let processorSeconds: number | undefined
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', () => {
      processorSeconds = takeProcessorSeconds()
    })
    child.once('close', (code, signal) => resolve(signal ?? (code === 0 ? '' : `exit ${code}`)))
  })
  parser.end(await text(child.stdout))
  const end = await ended.finally(() => clearTimeout(killer))
  const isNothing = results.length === 0 && parser.results?.plan.skipAll === true
  return {
    name,
    seconds: (performance.now() - startedMs) / 1000,
    processorSeconds,
    results,
    extra,
    failure: end !== '' ? end : parser.results?.ok || isNothing ? undefined : 'incomplete results',
  }
}

let takenSeconds = 0

/**
 * Returns the processor time of the children that ended since the last call. Only Linux tells it.
 * Servers that detach themselves are not in it.
 */
function takeProcessorSeconds(): number | undefined {
  if (process.platform !== 'linux') return undefined
  // The fields after the command's name, which may contain spaces: proc(5), fields 16 and 17.
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  const allSeconds = (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND
  const seconds = allSeconds - takenSeconds
  takenSeconds = allSeconds
  return seconds
}

/** Runs `work` on all items in their order, at most `limit` at a time. */
export async function runPool<T>(
  items: T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values()
  const lane = async () => {
    for (const item of queue) await work(item)
  }
  await Promise.all(Array.from({ length: limit }, lane))
}
