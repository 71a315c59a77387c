import { readFile } from 'node:fs/promises'
import { startBroker, startSide } from '../servers.ts'
import { makeWorld, pathsOf, sibling } from '../world.ts'
import type { Part } from './part.ts'

const ACCOUNTS = 10_000
const SLICE_SECONDS = 60
/** For the code of the broker and the accounts. */
const MORE_THAN_BARE_MB = 60
const KIB = 1_024

/** Reads without a pause as many accounts as the default cache holds. */
export const memory: Part = {
  name: 'memory',
  title: `Resident memory with ${ACCOUNTS.toLocaleString('en')} cached accounts`,
  async run(scope, { soakMinutes, ...bench }) {
    bench.say(`  a database with ${ACCOUNTS.toLocaleString('en')} accounts`)
    const world = await makeWorld(scope, { ...bench, accounts: ACCOUNTS })
    const { origin, process } = await startBroker(scope, world)
    const resident = () => megabytes(process.pid, 'VmRSS')
    const idle = await resident()
    const aim = {
      origin,
      paths: pathsOf(world.subjects),
      authorization: await sibling(world, origin),
    }
    let constant = ''
    for (const path of aim.paths) {
      const answer = await fetch(origin + path, { headers: { authorization: aim.authorization } })
      if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`)
      constant = await answer.text()
    }
    const filled = await resident()
    const soak: number[] = []
    const { connections, loader } = bench
    for (let minute = 0; minute < soakMinutes; minute += 1) {
      const { requestsPerSecond } = await loader.run(aim, { connections, seconds: SLICE_SECONDS })
      soak.push(await resident())
      bench.say(`  minute ${minute + 1}: ${soak.at(-1)} MB, ${Math.round(requestsPerSecond)}/s`)
    }
    const ofNode = await megabytes(process.pid, 'RssFile')
    const bare = await startSide(scope, bench.folder, 'bare', { BODY: constant })
    await loader.run({ ...aim, origin: bare.origin }, { connections, seconds: SLICE_SECONDS / 4 })
    const ofBare = await megabytes(bare.process.pid, 'VmRSS')
    const half = Math.ceil(soak.length / 2)
    return [
      { name: 'after the start', values: [idle], unit: ' MB' },
      {
        name: 'after each account was read once',
        values: [filled],
        unit: ' MB',
      },
      {
        name: `under full load for ${soakMinutes} minutes, each minute`,
        values: soak,
        unit: ' MB',
        target: { is: 'at most', value: ofBare + MORE_THAN_BARE_MB },
      },
      {
        name: 'most in the second half ÷ most in the first',
        values: [Math.max(...soak.slice(half)) / Math.max(...soak.slice(0, half))],
        target: { is: 'at most', value: 1.05 },
      },
      { name: 'of it pages of Node’s own files', values: [ofNode], unit: ' MB' },
      {
        name: 'the bare server under the same load',
        values: [ofBare],
        unit: ' MB',
      },
    ]
  },
}

/** Reads the resident memory of a Linux process, or the part of it that is backed by files. */
async function megabytes(pid: number | undefined, what: 'VmRSS' | 'RssFile'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const [, kib] = new RegExp(`${what}:\\s+(\\d+) kB`).exec(status) ?? []
  return Math.round(((Number(kib) * KIB) / 1e6) * 10) / 10
}
