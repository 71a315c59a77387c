import { execFile, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import t from 'tap'
import { makeCertificate } from '../src/sandbox/certificate.ts'
import { OPERATOR_KEY } from './support/broker.ts'
import { assertPresentedOnce, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { installPacked, plainly } from './support/package.ts'

/** A day of the sandbox, which is the life of its tokens. */
const DAY_SECONDS = 8
const DAYS = 3
const PROCESSES = 3
const ROOT = join(import.meta.dirname, '..')
const PRELOAD = join(ROOT, 'test', 'support', 'lead-to-sandbox.mjs')

const { folder } = installPacked(t, 'src/client')
cpSync(join(ROOT, 'examples'), join(folder, 'examples'), { recursive: true })
for (const name of ['axios', 'undici', '@shevernitskiy/amo', 'amocrm-js']) {
  const link = join(folder, 'node_modules', name)
  mkdirSync(dirname(link), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules', name), link)
}

const node = process.execPath
const examples: [file: string, command: string, ...args: string[]][] = [
  ['node/client.mjs', node],
  ['node/axios.mjs', node],
  ['node/undici.mjs', node],
  ['node/shevernitskiy-amo.mjs', node],
  ['node/amocrm-js.mjs', node, '--import', PRELOAD],
  ['python/broker.py', 'python3'],
  ['python/amocrm_api.py', 'python3'],
  ['php/plain.php', 'php'],
  ['php/amocrm-api-php.php', 'php'],
  ['curl/broker.sh', 'sh'],
  ['go/main.go', 'go', 'run'],
]

t.test('examples: three days in three processes, without a refresh or a failure', async (t) => {
  const stage = await startBrokerWithSandbox(t, { sandbox: { accessTtlSeconds: DAY_SECONDS } })
  const { sandbox, broker } = stage
  const certificate = makeCertificate(Date.now())
  const caFile = join(folder, 'ca.pem')
  writeFileSync(caFile, certificate.ca)
  const https = createServer(certificate, (request, response) => {
    sandbox.app.server.emit('request', request, response)
  })
  https.listen(0, '127.0.0.1')
  t.teardown(() => {
    https.closeAllConnections()
    https.close()
  })
  await new Promise((resolve) => https.once('listening', resolve))
  const { port } = https.address() as AddressInfo
  const env = {
    BROKER_URL: broker.url,
    BROKER_KEY: OPERATOR_KEY,
    AMO_SECONDS: String(DAYS * DAY_SECONDS),
    NODE_EXTRA_CA_CERTS: caFile,
    SANDBOX_HTTPS_PORT: String(port),
  }
  const account = sandbox.world.directory.findAccount('demo')
  if (account === undefined) throw new Error('no account')
  const runs = examples.map(async ([file, command, ...args]) => {
    const isThere = spawnSync(...plainly('which', [command])).status === 0
    const skip = !isThere && `${command} is not installed here`
    return { file, skip, outputs: isThere ? await runAll(command, [...args, file]) : [] }
  })
  // Every process meets the 401 of a token that dies before its time.
  setTimeout(
    () => sandbox.world.grants.expire(account, ['access_token']),
    DAY_SECONDS * 1_500,
  ).unref()
  for (const run of runs) {
    const { file, skip, outputs } = await run
    t.test(file, { skip }, async (t) => {
      t.equal(outputs.length, PROCESSES)
      for (const output of outputs) {
        const { calls, failures } = JSON.parse(output)
        t.same(failures, [])
        t.ok(calls >= 5, `${calls} calls`)
      }
    })
  }
  const refreshes = (await stage.attempts()).filter(({ outcome }) => outcome === 'committed').length
  t.ok(refreshes >= DAYS, `${refreshes} refreshes`)
  t.equal(sandbox.world.books.totals.refreshes, refreshes, 'all of them were the broker’s')
  assertPresentedOnce(t, { sandbox })

  function runAll(command: string, args: string[]): Promise<string[]> {
    return Promise.all(Array.from({ length: PROCESSES }, () => runOne(command, args)))
  }

  function runOne(command: string, args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const options = { cwd: join(folder, 'examples'), timeout: 120_000 }
      execFile(...plainly(command, args, env), options, (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(`${args}: ${stderr || error.message}`)),
      )
    })
  }
})
