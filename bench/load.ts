import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

/** The target of a load: paths that are requested in turn, all with the same header. */
export interface Aim {
  origin: string
  /** Process of the server, if its processor time is measured. */
  pid?: number | undefined
  paths: string[]
  authorization: string
}

export interface Load {
  connections: number
  seconds: number
}

/** A constant rate of requests per second, spread over these servers in turn. */
export interface PacedLoad {
  origins: string[]
  rate: number
  seconds: number
}

export interface Measured {
  requestsPerSecond: number
  p50Ms: number
  p99Ms: number
  /** Number of responses. */
  answers: number
}

/** Callers at the same moment, spread over these servers. */
export interface BurstOrder {
  origins: string[]
  path: string
  authorization: string
  callers: number
}

export interface Burst {
  slowestMs: number
  /** Number of responses by status and generation, or by status and code of the problem. */
  answers: Record<string, number>
}

export interface Loader {
  name: string
  /** Closed loop from a separate process. Throws when a response was not 2xx. */
  run: (aim: Aim, load: Load) => Promise<Measured>
}

/**
 * Returns wrk where it is installed, because it takes the least time from the processes under test
 * on the same machine. Otherwise returns autocannon.
 */
export async function findLoader(wanted: string | undefined, folder: string): Promise<Loader> {
  const version = await versionOfWrk()
  if (wanted === 'wrk' && version === undefined) {
    throw new Error('wrk is not installed: apt-get install wrk, or --load autocannon')
  }
  if (wanted !== 'autocannon' && version !== undefined) {
    return { name: version, run: (aim, load) => wrk(folder, aim, load) }
  }
  return {
    name: 'autocannon',
    run: async (aim, load) => read(await script('load-autocannon.ts', { ...aim, ...load })),
  }
}

/** Open loop from a separate process. Throws when a response was not 200. */
export async function pacedLoad(aim: Omit<Aim, 'origin'>, load: PacedLoad): Promise<Measured> {
  return read(await script('load-paced.ts', { ...aim, ...load }))
}

/**
 * Sends a burst from a separate process. Throws when the callers did not all get the same token.
 */
export async function burst(order: BurstOrder): Promise<Burst> {
  const result = JSON.parse(await script('load-burst.ts', order)) as Burst
  const [first = '', ...others] = Object.keys(result.answers)
  if (others.length === 0 && first.startsWith('200 ')) return result
  throw new Error(`the callers got ${JSON.stringify(result.answers)}`)
}

async function script(file: string, order: object): Promise<string> {
  const path = new URL(file, import.meta.url).pathname
  return await run(process.execPath, [path], JSON.stringify(order))
}

async function wrk(
  folder: string,
  { origin, paths, authorization }: Aim,
  { connections, seconds }: Load,
): Promise<Measured> {
  const file = join(folder, randomUUID())
  await writeFile(file, `${[authorization, ...paths].join('\n')}\n`, { mode: 0o600 })
  const lua = new URL('wrk.lua', import.meta.url).pathname
  const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '5s', '-s', lua]
  const out = await run('wrk', [...options, origin, '--', file])
  await rm(file)
  return read(out.slice(out.indexOf('{"')))
}

function read(json: string): Measured {
  const { failures, ...measured } = JSON.parse(json) as Measured & { failures: number }
  if (failures > 0) throw new Error(`${failures} requests failed, ${measured.answers} did not`)
  return measured
}

async function run(command: string, args: string[], input = ''): Promise<string> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.end(input)
  const [out, error, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${error || out}`)
  return out
}

function versionOfWrk(): Promise<string | undefined> {
  // wrk exits with 1 when asked for its version, but prints it.
  return new Promise((found) => {
    execFile('wrk', ['-v'], (_error, out) => found(/^wrk \S+/.exec(out)?.[0]))
  })
}
