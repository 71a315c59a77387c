import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

/** Where a load goes: paths that are asked for in turn, all with the same header. */
export interface Aim {
  origin: string
  paths: string[]
  authorization: string
}

export interface Load {
  connections: number
  seconds: number
}

/** So many requests a second in all, each of these servers in turn. */
export interface PacedLoad {
  origins: string[]
  rate: number
  seconds: number
}

export interface Measured {
  requestsPerSecond: number
  p50Ms: number
  p99Ms: number
  /** How many were answered. */
  answers: number
}

/** So many callers at the same moment, spread over these servers. */
export interface BurstOrder {
  origins: string[]
  path: string
  authorization: string
  callers: number
}

export interface Burst {
  slowestMs: number
  /** How often each: a status with the token's generation, or with the problem's code. */
  answers: Record<string, number>
}

export interface Loader {
  name: string
  /** Closed loop, from a process of its own. Throws when anything but a 2xx was answered. */
  run: (aim: Aim, load: Load) => Promise<Measured>
}

/** wrk where it is installed: it takes the least of the machine that it shares with what it measures. */
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

/** Open loop, from a process of its own. Throws when anything but a 200 was answered. */
export async function pacedLoad(aim: Omit<Aim, 'origin'>, load: PacedLoad): Promise<Measured> {
  return read(await script('load-paced.ts', { ...aim, ...load }))
}

/** From a process of its own. Throws when the callers did not all get the same token. */
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
  // It ends with 1 when asked for its version, and says it all the same.
  return new Promise((found) => {
    execFile('wrk', ['-v'], (_error, out) => found(/^wrk \S+/.exec(out)?.[0]))
  })
}
