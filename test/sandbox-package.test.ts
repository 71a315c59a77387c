import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { installPacked, plainly } from './support/package.ts'

const installed = installPacked(t, 'src/sandbox')
const { folder, packageFolder, manifest } = installed
const bin = join(packageFolder, 'dist', 'sandbox', 'main.js')
const root = JSON.parse(readFileSync('package.json', 'utf8'))

t.test('amo-sandbox --help: prints help and ends', async (t) => {
  const help = run('--help')
  t.equal(help.code, 0)
  t.match(help.stdout, /--port[\s\S]*--no-limits[\s\S]*7 calls a second[\s\S]*--seed/)
  for (const name of ['expired', 'revoked', 'moved', 'blocked', 'slow']) {
    t.match(help.stdout, new RegExp(`^ {2}${name} `, 'm'))
  }
})

t.test('amo-sandbox: a wrong option is named, exit 1', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--portt', '1'], /--portt/],
    [['--port', 'x'], /--port must be a whole number/],
    [['--account', 'demo'], /account demo is not platform:subdomain/],
    [['--scenario', 'nonsense'], /nonsense is none of expired/],
    [['--scenario', 'revoked'], /POST \/__sandbox\/scenarios\/revoked/],
  ]
  for (const [args, message] of cases) {
    const { code, stderr } = run(...args)
    t.equal(code, 1, args.join(' '))
    t.match(stderr, message)
    t.match(stderr, /Try: amo-sandbox --help/)
  }
})

t.test('amo-sandbox --https: only a client that trusts its authority connects', async (t) => {
  const caFile = join(folder, 'ca.pem')
  const { origin } = await start(t, '--https', '--ca-file', caFile, '--account', 'amocrm:shop')
  t.match(origin, /^https:/)
  const ca = readFileSync(caFile, 'utf8')
  const port = Number(new URL(origin).port)
  const ask = (host: string, options: { ca?: string }) =>
    new Promise<number | undefined>((resolve, reject) => {
      const path = '/oauth2/account/current/subdomain'
      const servername = host
      const headers = { host }
      request({ host: '127.0.0.1', port, servername, path, headers, ...options }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .on('error', reject)
        .end()
    })
  t.equal(await ask('shop.amocrm.ru', { ca }), 403, 'the probe without its header')
  t.equal(await ask('shop.kommo.com', { ca }), 404)
  await t.rejects(ask('shop.amocrm.ru', {}), { code: /SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET/ })
  await t.rejects(ask('example.com', { ca }), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
})

t.test('amo-sandbox --scenario blocked --no-limits, and the typed control API', async (t) => {
  const { origin } = await start(t, '--scenario', 'blocked', '--no-limits', '--seed', '7')
  const path = join(packageFolder, 'dist', 'sandbox', 'control-client.js')
  const { SandboxControl }: typeof import('../src/sandbox/control-client.ts') = await import(path)
  const control = new SandboxControl(origin)
  t.match(await control.faults(), { faults: [{ fault: 'forbidden_html' }, {}] })
  t.same(await control.clearFaults(), { faults: [] })
  const account = await control.addAccount({ platform: 'kommo', subdomain: 'late' })
  t.same(await control.scenario('slow', account.account_id), {
    scenario: 'slow',
    accounts: [account.account_id],
  })
  t.match(await control.setLimits({ off: true }), { limits: false })
  t.match(await control.stats(), { refreshes: 0, presented_again: 0 })
  await t.rejects(control.scenario('slow', 'nobody'), { message: /404/ })
})

t.test('package: its dependencies are those of this repository', async (t) => {
  for (const [name, version] of Object.entries(manifest.dependencies ?? {})) {
    const { version: used } = JSON.parse(
      readFileSync(join('node_modules', name, 'package.json'), 'utf8'),
    )
    t.equal(version, used, name)
    if (name in root.dependencies) t.equal(version, root.dependencies[name], name)
  }
})

function run(...args: string[]): { code: number; stdout: string; stderr: string } {
  try {
    const stdout = execFileSync(process.execPath, [bin, ...args], {
      stdio: 'pipe',
      timeout: 20_000,
    })
    return { code: 0, stdout: stdout.toString(), stderr: '' }
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number; stdout: Buffer; stderr: Buffer }
    return { code: status, stdout: stdout.toString(), stderr: stderr.toString() }
  }
}

/** Starts the installed sandbox on a free port. */
async function start(t: Test, ...args: string[]): Promise<{ origin: string; child: ChildProcess }> {
  const child = spawn(...plainly(process.execPath, [bin, '--port', '0', ...args]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(async () => {
    const ended = once(child, 'exit')
    child.kill()
    await ended
  })
  let text = ''
  for await (const chunk of child.stdout) {
    text += chunk
    const origin = /on (https?:\S+),/.exec(text)?.[1]
    const isDone = args.includes('--https') ? text.includes('trust') : origin !== undefined
    if (origin !== undefined && isDone) return { origin, child }
  }
  throw new Error(`the sandbox ended: ${text}`)
}
