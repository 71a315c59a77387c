import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { OPERATOR_KEY } from './support/broker.ts'
import { startFront } from './support/broker-front.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { readSourceFiles, roomImports, roomOf } from './support/import-graph.ts'
import { installPacked, plainly } from './support/package.ts'

const MAX_GZIP_BYTES = 6 * 1024
const ROOT = join(import.meta.dirname, '..')
const { folder, packageFolder, manifest } = installPacked(t, 'src/client')

/** TEST_NODE22 is set by `npm run test:node22`, which fetches one. */
const nodes: [version: string, path: string | undefined][] = [
  ['v24', join(ROOT, 'node_modules', '.bin', 'node')],
  ['v22', process.env.TEST_NODE22],
  ['v20', ['/usr/bin/node', '/usr/local/bin/node'].find((path) => isNode(path, 'v20'))],
]

t.test('package: no dependencies, and at most 6 KB gzipped', async (t) => {
  t.notOk(manifest.dependencies)
  const code = globSync('dist/*.js', { cwd: packageFolder }).map((file) =>
    readFileSync(join(packageFolder, file)),
  )
  const size = gzipSync(Buffer.concat(code), { level: 9 }).length
  t.comment(`${size} bytes`)
  t.ok(size <= MAX_GZIP_BYTES, `${size} bytes are at most ${MAX_GZIP_BYTES}`)
  t.ok(existsSync(join(packageFolder, 'README.md')))
  t.notOk(existsSync(join(packageFolder, 'client.ts')), 'no sources: Node strips no types there')
})

t.test('room: the client imports no other room, and no other room imports it', async (t) => {
  const files = readSourceFiles().filter(({ path }) => !path.includes('/dist/'))
  const crossing = roomImports(files).filter(({ from, to }) => from === 'client' || to === 'client')
  t.same(crossing, [])
  const packages = files
    .filter(({ path }) => roomOf(path) === 'client')
    .flatMap((file) => file.packages)
  t.same(new Set(packages), new Set(['node:http', 'node:https']))
})

t.test('package: type-checks where it is installed', async (t) => {
  writeFileSync(
    join(folder, 'use.ts'),
    `import { AmoTokenClient, AmoTokenError, type AmoToken, type AmoTokenEvent } from 'amo-token-client'
const broker = new AmoTokenClient({ url: 'http://127.0.0.1:3000', key: async () => 'key' })
const token: AmoToken = await broker.getToken('demo', { minTtlSeconds: 60, signal: AbortSignal.timeout(9) })
const text: string = token.accessToken + token.apiUrl + token.expiresAt.toISOString() + token.generation
const ok: boolean = (await broker.fetchFor('demo')('/api/v4/leads')).ok
const code: string = new AmoTokenError(text + ok, { code: 'timeout', status: 0 }).code
// @ts-expect-error: the options are typed
new AmoTokenClient({ url: 1, key: code })
// @ts-expect-error: a token is read-only
token.generation = 1
export const onEvent = (event: AmoTokenEvent) => event.type === 'reported' && event.generation
`,
  )
  symlinkSync(join(ROOT, 'node_modules', '@types'), join(folder, 'node_modules', '@types'))
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noEmit', '--module', 'nodenext']
  for (const types of [
    ['--lib', 'es2022,dom'],
    ['--lib', 'es2022', '--types', 'node', '--skipLibCheck'],
  ]) {
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
    const args = [...strict, '--target', 'es2022', ...types, 'use.ts']
    const checked = spawnSync(...plainly('tsc', args), { cwd: folder })
    t.equal(checked.stdout.toString(), '', types.join(' '))
    t.equal(checked.status, 0)
  }
})

t.test('package: runs on each Node, and keeps none of them alive', async (t) => {
  const { broker } = await startBrokerWithSandbox(t)
  const front = await startFront(t, broker.url)
  front.offersEvents = true
  writeFileSync(
    join(folder, 'use.mjs'),
    `import { AmoTokenClient } from 'amo-token-client'
const broker = new AmoTokenClient({ url: process.env.BROKER_URL, key: process.env.BROKER_KEY })
const token = await broker.getToken('demo')
const response = await broker.fetch('demo', '/api/v4/account')
const { id } = await response.json()
// The event stream is open by now.
await new Promise((resolve) => setTimeout(resolve, 300))
console.log(process.version, id === token.accountId, Date.now())
`,
  )
  const streams = () => front.requests.filter((each) => each.path === '/events/stream').length
  for (const [version, path = ''] of nodes) {
    const skip = path === '' && 'it is not installed here'
    await t.test(`Node ${version}`, { skip }, async (t) => {
      const streamsBefore = streams()
      const env = { BROKER_URL: front.url, BROKER_KEY: OPERATOR_KEY }
      const [command, args] = plainly(path, ['use.mjs'], env)
      const output = await new Promise<string>((resolve, reject) => {
        execFile(command, args, { cwd: folder, timeout: 30_000 }, (error, stdout, stderr) =>
          error === null ? resolve(stdout) : reject(new Error(stderr || error.message)),
        )
      })
      const endedMs = Date.now()
      const [ran = '', isRight, saidMs] = output.trim().split(' ')
      t.ok(ran.startsWith(version), `it is ${ran}`)
      t.equal(isRight, 'true')
      t.ok(endedMs - Number(saidMs) < 5_000, 'it ended at once')
      t.equal(streams(), streamsBefore + 1, 'though its event stream was open')
    })
  }
})

function isNode(path: string, version: string): boolean {
  if (!existsSync(path)) return false
  return execFileSync(...plainly(path, ['--version']))
    .toString()
    .startsWith(version)
}
