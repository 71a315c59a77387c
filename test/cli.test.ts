import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import t, { type Test } from 'tap'
import { buildProgram } from '../src/cli/program.ts'
import { OPERATOR_KEY, type TestBroker } from './support/broker.ts'
import { CLI, type CommandResult, runCli } from './support/cli.ts'
import { freePorts } from './support/ports.ts'
import { setStage } from './support/stage.ts'

type Cli = (...args: string[]) => Promise<CommandResult>

/** `amo-broker` with the address and the key of this broker, as on an operator's machine. */
function cliOf(broker: TestBroker, env: Record<string, string> = {}): Cli {
  return (...args) =>
    runCli(args, { BROKER_URL: broker.url, BROKER_KEY: OPERATOR_KEY, ...env }, env.INPUT)
}

/** Every command's words, groups included. */
function commandsOf(program: ReturnType<typeof buildProgram>, words: string[] = []): string[][] {
  return program.commands.flatMap((command) => {
    const own = [...words, command.name()]
    return [own, ...commandsOf(command as typeof program, own)]
  })
}

t.test('without a broker', { buffered: true }, async (t) => {
  await t.test('--help of every command: what it does, exit code 0', async (t) => {
    const all = commandsOf(buildProgram())
    t.ok(all.length > 25, `${all.length} commands`)
    const program = buildProgram()
    for (const words of all) {
      const command = words.reduce<ReturnType<typeof buildProgram>>(
        (at, word) => at.commands.find((each) => each.name() === word) as typeof program,
        program,
      )
      t.ok(command.description(), words.join(' '))
      const secrets = command.options.filter(
        (option) => !option.isBoolean() && /secret|key|token|code$/.test(option.long ?? ''),
      )
      t.same(
        secrets.map(({ long }) => long),
        [],
        `${words.join(' ')}: no secret is an option`,
      )
    }
    const help = await runCli(['accounts', 'refresh', '--help'], {})
    t.match(help, { code: 0, err: '', out: /Usage: amo-broker accounts refresh/ })
    t.match(await runCli(['--help'], {}), { code: 0, out: /Examples:\n {2}\$ amo-broker connect/ })
  })

  await t.test('a wrong command line: what was meant, exit code 2', async (t) => {
    t.match(await runCli(['acounts'], {}), { code: 2, out: '', err: /Did you mean accounts\?/ })
    t.match(await runCli(['accounts', 'show'], {}), { code: 2, err: /missing required argument/ })
    t.match(await runCli(['verify', '--pace', '0'], {}), { code: 2, err: /a number above 0/ })
    t.match(await runCli(['clients', 'create', 'x', '--grant', 'demo'], {}), {
      code: 2,
      err: /integration\/account/,
    })
  })

  await t.test('no key, no broker: named with the remedy, exit code 1', async (t) => {
    t.match(await runCli(['accounts', 'list'], { DATA_DIR: t.testdir() }), {
      code: 1,
      err: /BROKER_KEY is missing\namo-broker: remedy: Set it/,
    })
    const elsewhere = { BROKER_URL: 'http://127.0.0.1:1', OPERATOR_KEY: 'canary-operator-key' }
    t.match(await runCli(['accounts', 'list'], elsewhere), {
      code: 1,
      err: /BROKER_KEY is missing/,
    })
    t.match(await runCli(['accounts', 'list'], { BROKER_URL: 'canary', BROKER_KEY: 'x' }), {
      code: 1,
      err: /BROKER_URL must be a URL/,
    })
    const [port] = await freePorts(1)
    const key = { BROKER_URL: `http://127.0.0.1:${port}`, BROKER_KEY: 'canary-key' }
    const down = await runCli(['accounts', 'list'], key)
    t.match(down, { code: 1, out: '', err: /does not answer \(ECONNREFUSED\)\n.*remedy: / })
    t.notMatch(down.err, /canary|\n\s+at /)
  })

  await t.test('a start loads no database, no server, no cipher', async (t) => {
    const hook = `import { registerHooks } from 'node:module'
      registerHooks({ load(url, context, next) { console.error(url); return next(url, context) } })`
    const child = spawn(
      process.execPath,
      ['--import', `data:text/javascript,${encodeURIComponent(hook)}`, CLI, '--help'],
      { cwd: tmpdir(), env: { PATH: process.env.PATH }, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let loaded = ''
    child.stderr.on('data', (chunk) => {
      loaded += chunk
    })
    await once(child, 'close')
    const files = loaded.split('\n').filter((line) => line.startsWith('file:'))
    t.ok(files.some((file) => file.endsWith('/src/cli/accounts.ts')))
    t.same(
      files.filter((file) => file.includes('/src/') && !file.includes('/src/cli/')),
      [],
    )
    const packages = files.map((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1])
    t.same([...new Set(packages)].filter(Boolean).sort(), [
      '@commander-js/extra-typings',
      'commander',
    ])
  })
})

t.test('with a broker', { buffered: true }, async (t) => {
  const { broker, sandbox, row } = await setStage(t)
  const cli = cliOf(broker)
  const json = async (...args: string[]) => JSON.parse((await cli(...args, '--json')).out)

  await t.test('accounts list, show: a table, or one JSON document', async (t) => {
    const { accountId } = await row()
    const list = await cli('accounts', 'list')
    t.match(list, { code: 0, err: '' })
    t.match(list.out, /^ACCOUNT +ID +INTEGRATION +STATUS/)
    t.match(list.out, new RegExp(`\ndemo\\.amocrm\\.ru +${accountId} +amocrm +active +in `))
    t.match(await cli('accounts', 'list', '--status', 'pending'), { code: 0, out: 'no account\n' })
    t.same(await json('accounts', 'list', '--integration', 'kommo'), [])
    t.same(await json('accounts', 'list'), (await broker.get('/accounts')).body.accounts)
    t.same(await json('accounts', 'show', 'demo'), (await broker.get('/accounts/demo')).body)
    const shown = await cli('accounts', 'show', String(accountId))
    t.match(shown.out, /^account +demo\.amocrm\.ru\nid .*\nintegration +amocrm\n/)
  })

  await t.test('accounts pause, resume', async (t) => {
    t.match(await cli('accounts', 'pause', 'demo'), { code: 0, out: /status +active, paused/ })
    t.match(await row(), { paused: true })
    t.match(await cli('accounts', 'resume', 'DEMO.amocrm.ru'), { code: 0, out: /status +active\n/ })
    t.match(await row(), { paused: false })
  })

  await t.test(
    'accounts refresh: only what is dead is replaced, or by --force; no token is shown',
    async (t) => {
      const { generation: before } = await row()
      const same = await cli('accounts', 'refresh', 'demo')
      t.match(same, { code: 0, out: /works and was not replaced/ })
      t.equal((await row()).generation, before)
      const forced = await cli('accounts', 'refresh', 'demo', '--force', '--json')
      const { generation } = JSON.parse(forced.out)
      t.ok(generation > Number(before))
      t.notMatch(same.out + forced.out, /eyJ|access_token/)
      t.equal(sandbox.world.books.totals.refreshes, 1)
    },
  )

  await t.test("an error: the broker's words, remedy, code and request, exit code 1", async (t) => {
    const missing = await cli('accounts', 'show', 'nobody')
    t.match(missing, { code: 1, out: '' })
    t.match(missing.err, /^amo-broker: No such account: No account is known as "nobody"\.$/m)
    t.match(missing.err, /^amo-broker: remedy: Onboard it/m)
    t.match(missing.err, /^amo-broker: code: account_not_found, request_id: [\w-]+$/m)
    t.match(await cli('accounts', 'show', '../clients'), { code: 1, err: /code: bad_request/ })
    const stranger = await cliOf(broker, { BROKER_KEY: 'canary-key' })('accounts', 'list')
    t.match(stranger, { code: 1, err: /code: unauthorized/ })
    t.notMatch(stranger.err, 'canary')
    const open = await cliOf(broker, { BROKER_URL: broker.publicUrl })('clients', 'list')
    t.match(open, { code: 1, err: /No such resource/ })
  })

  await t.test('connect: the link alone on standard output', async (t) => {
    const { code, out, err } = await cli('connect', '--integration', 'amocrm', '--account', 'demo')
    t.equal(code, 0)
    t.match(out, new RegExp(`^${broker.publicUrl}/connect/[\\w-]+\n$`))
    t.match(err, /expires .*in 7 d/)
    const opened = await fetch(out.trim(), { redirect: 'manual' })
    t.equal(new URL(opened.headers.get('location') ?? '').origin, sandbox.origin)
    t.match(await cli('connect', '--integration', 'none'), {
      code: 1,
      err: /integration_not_found/,
    })
  })

  await t.test('clients create, list, revoke: the key is shown once and opens', async (t) => {
    const created = await cli('clients', 'create', 'shop', '--grant', 'amocrm/demo')
    t.match(created, { code: 0, out: /^amo_broker_\w{10}_[\w-]{43}\n$/ })
    const key = created.out.trim()
    const shop = cliOf(broker, { BROKER_KEY: key })
    t.match(await shop('accounts', 'list'), { code: 0, out: /demo\.amocrm\.ru/ })
    t.match(await shop('clients', 'list'), { code: 1, err: /code: forbidden/ })
    const listed = await cli('clients', 'list')
    t.match(listed.out, /\nshop +reader +amocrm\/\d+ +\w{10}/)
    t.notMatch(listed.out, key)
    t.match(await cli('clients', 'revoke', 'shop'), { code: 1, err: /add --yes/ })
    t.match(await cli('clients', 'revoke', 'shop', '--yes'), { code: 0 })
    t.match(await shop('accounts', 'list'), { code: 1, err: /code: unauthorized/ })
  })

  await t.test('integrations list, pause, resume, next-secret: from stdin or env', async (t) => {
    t.match(await cli('integrations', 'list'), {
      code: 0,
      out: /\namocrm +http.* +running +100\/s/,
    })
    t.match(await cli('integrations', 'pause', 'amocrm'), { out: /paused .*paused by operator/ })
    t.match(await cli('integrations', 'resume', 'amocrm'), { out: /running/ })
    for (const given of [{ INPUT: 'canary-next\n' }, { CLIENT_SECRET: 'canary-next' }]) {
      const next = await cliOf(broker, given)('integrations', 'next-secret', 'amocrm')
      t.match(next, { code: 0, err: '', out: /^Kept\./ })
      t.notMatch(next.out, 'canary')
    }
    const nothing = await cli('integrations', 'next-secret', 'amocrm')
    t.match(nothing, { code: 1, err: /nothing given\n.*or in CLIENT_SECRET/ })
    t.match(await cli('integrations', 'next-secret', 'amocrm', '--remove'), { code: 0 })
  })

  await t.test('a secret that is typed is not shown', async (t) => {
    const shown = await typed(t, broker, 'integrations next-secret amocrm', 'canary-typed')
    t.match(shown, /Next client secret: /)
    t.match(shown, /Kept\./)
    t.notMatch(shown, 'canary-typed')
  })

  await t.test('audit: who did what, filtered', async (t) => {
    const all = await cli('audit', '--limit', '5')
    t.match(all, { code: 0, out: /^WHEN +WHO +DID/ })
    t.equal(all.out.trim().split('\n').length, 6)
    const paused = await json('audit', '--action', 'pauseAccount', '--since', '2026-01-01')
    t.match(paused, [{ actor: 'operator', action: 'pauseAccount', outcome: 'done' }])
    t.match(await cli('audit', 'list', '--since', 'now'), { code: 2 })
  })

  await t.test('package.json: amo-broker is the same program', async (t) => {
    const { bin, scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
    t.same(bin, { 'amo-broker': 'src/cli/main.ts' })
    t.match(scripts.cli, bin['amo-broker'])
    t.match(readFileSync('src/cli/main.ts', 'utf8'), /^#!\/usr\/bin\/env node\n/)
  })
})

/** What a person sees who types `secret` when asked for it, at a terminal of its own. */
async function typed(
  t: Test,
  broker: TestBroker,
  command: string,
  secret: string,
): Promise<string> {
  const run = `'${process.execPath}' '${CLI}' ${command}`
  const child = spawn('script', ['--quiet', '--return', '--command', run, '/dev/null'], {
    cwd: tmpdir(),
    env: { PATH: process.env.PATH, BROKER_URL: broker.url, BROKER_KEY: OPERATOR_KEY },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let shown = ''
  child.stdout.on('data', (chunk) => {
    const before = shown
    shown += chunk
    if (/: $/.test(shown) && !/: $/.test(before)) child.stdin.end(`${secret}\r`)
  })
  await once(child, 'close')
  t.equal(child.exitCode, 0, shown)
  return shown
}
