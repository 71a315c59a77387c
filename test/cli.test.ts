import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import t, { type Test } from 'tap'
import { nameCommands } from '../src/cli/common/remedies.ts'
import { buildProgram } from '../src/cli/program.ts'
import { ERRORS } from '../src/lib/errors.ts'
import { OPERATOR_KEY, type TestBroker } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { CLI, type CommandResult, runCli } from './support/cli.ts'
import { freePorts } from './support/ports.ts'

type Cli = (...args: string[]) => Promise<CommandResult>

/** `amo-broker` with the address and the key of this broker, as on an operator's machine. */
function cliOf(broker: TestBroker, env: Record<string, string> = {}): Cli {
  return (...args) =>
    runCli(args, { BROKER_URL: broker.url, BROKER_KEY: OPERATOR_KEY, ...env }, env.INPUT)
}

interface Key {
  key_id: string
}

interface Found {
  words: string
  command: CommandUnknownOpts
}

/** Returns every command, groups included. */
function commandsOf(parent: CommandUnknownOpts, words = 'amo-broker'): Found[] {
  return parent.commands.flatMap((command) => {
    const own = `${words} ${command.name()}`
    return [{ words: own, command }, ...commandsOf(command, own)]
  })
}

/** Returns the whole help text as it looks in a terminal of 80 columns. */
function helpOf(command: CommandUnknownOpts): string {
  let help = ''
  const writeOut = (text: string) => {
    help += text
  }
  command.configureOutput({ writeOut, getOutHelpWidth: () => 80 })
  command.outputHelp()
  return help
}

t.test('without a broker', { buffered: true }, async (t) => {
  await t.test('--help of every command: summary, example, 80 columns, no secrets', async (t) => {
    const program = await buildProgram(() => true)
    const all = commandsOf(program)
    t.ok(all.length > 35, `${all.length} commands`)
    for (const { words, command } of all) {
      const help = helpOf(command)
      const wide = help.split('\n').filter((line) => line.length > 80)
      t.ok(command.description(), words)
      t.same(wide, [], `${words}: 80 columns`)
      const secrets = command.options.filter(
        (option) => !option.isBoolean() && /secret|key|token|code$/.test(option.long ?? ''),
      )
      t.same(
        secrets.map(({ long }) => long),
        [],
        `${words}: no secret is an option`,
      )
      if (command.commands.length > 0) continue
      t.match(help, /\nExamples?:\n {2}\$ amo-broker /, `${words}: an example`)
      const hasJson = command.options.some(({ long }) => long === '--json')
      t.equal(hasJson, !['demo', 'console'].includes(command.name()), `${words}: --json`)
    }
    t.same(
      helpOf(program)
        .split('\n')
        .filter((line) => line.length > 80),
      [],
    )
    const help = await runCli(['accounts', 'refresh', '--help'], {})
    t.match(help, { code: 0, err: '', out: /Usage: amo-broker accounts refresh/ })
    t.match(await runCli(['help', 'keygen'], {}), { code: 0, out: /Usage: amo-broker keygen/ })
    t.match(await runCli(['--help'], {}), { code: 0, out: /Examples:\n {2}\$ amo-broker connect/ })
  })

  await t.test('a wrong command line: exit code 2, with the nearest command', async (t) => {
    t.match(await runCli(['acounts'], {}), { code: 2, out: '', err: /Did you mean accounts\?/ })
    t.match(await runCli(['accounts', 'show'], {}), { code: 2, err: /missing required argument/ })
    t.match(await runCli(['verify', '--pace', '0'], {}), { code: 2, err: /a number above 0/ })
    t.match(await runCli(['clients', 'create', 'x', '--grant', 'demo'], {}), {
      code: 2,
      err: /integration\/account/,
    })
    t.match(await runCli(['accounts', 'list', '--stauts', 'active'], {}), {
      code: 2,
      out: '',
      err: /unknown option '--stauts'\n\(Did you mean --status\?\)/,
    })
  })

  await t.test('keygen: different keys and ids each time', async (t) => {
    const [first, second] = await Promise.all([runCli(['keygen'], {}), runCli(['keygen'], {})])
    const idOf = ({ out }: CommandResult) => /^ENCRYPTION_KEYS=(k\d{8}-\w+):/.exec(out)?.[1]
    t.ok(idOf(first))
    t.not(idOf(first), idOf(second))
    const settings = JSON.parse((await runCli(['keygen', '--json'], {})).out)
    t.same(Object.keys(settings), ['ENCRYPTION_KEYS', 'OPERATOR_KEY', 'DEPLOYMENT_ID'])
  })

  await t.test('a remedy names the command instead of the API call', async (t) => {
    const calls = Object.values(ERRORS)
      .map(([, , remedy]) => nameCommands(remedy))
      .filter((remedy) => /\b(?:GET|POST|PUT|DELETE) \/|If-Match|Bearer/.test(remedy))
    // Only the API returns tokens, and these remedies name no other command.
    t.same(
      calls.filter((remedy) => !/GET \/docs|GET \/tokens/.test(remedy)),
      [],
    )
    t.match(nameCommands(ERRORS.account_exists[2]), /import again with --replace/)
  })

  await t.test('without a key or a broker: exit code 1, with the remedy', async (t) => {
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
})

t.test('with a broker', { buffered: true }, async (t) => {
  const { broker, sandbox, row } = await startBrokerWithSandbox(t)
  const cli = cliOf(broker)
  const json = async (...args: string[]) => JSON.parse((await cli(...args, '--json')).out)

  await t.test('accounts list, show: a table, or one JSON document', async (t) => {
    const { accountId } = await row()
    const list = await cli('accounts', 'list')
    t.match(list, { code: 0, err: '' })
    t.match(list.out, /^ACCOUNT +LABEL +ID +INTEGRATION +STATUS/)
    t.match(list.out, new RegExp(`\ndemo\\.amocrm\\.ru +- +${accountId} +amocrm +active +in `))
    t.match(await cli('accounts', 'list', '--status', 'pending'), { code: 0, out: 'no accounts\n' })
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
    'accounts refresh: replaces a dead token, or any with --force; shows no token',
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
    t.match(missing.err, /^amo-broker: remedy: Connect it: amo-broker connect/m)
    t.match(missing.err, /^amo-broker: code: account_not_found, request_id: [\w-]+$/m)
    t.match(await cli('accounts', 'show', '../clients'), { code: 1, err: /code: bad_request/ })
    const stranger = await cliOf(broker, { BROKER_KEY: 'canary-key' })('accounts', 'list')
    t.match(stranger, { code: 1, err: /code: unauthorized/ })
    t.notMatch(stranger.err, 'canary')
    const open = await cliOf(broker, { BROKER_URL: broker.publicUrl })('clients', 'list')
    t.match(open, { code: 1, err: /No such resource/ })
  })

  await t.test('connect: only the link on standard output', async (t) => {
    const { code, out, err } = await cli('connect', '--integration', 'amocrm', '--account', 'demo')
    t.equal(code, 0)
    t.match(out, new RegExp(`^${broker.publicUrl}/connect/[\\w-]+\n$`))
    t.match(err, /Expires .*in 7 d/)
    const opened = await fetch(out.trim(), { redirect: 'manual' })
    t.equal(new URL(opened.headers.get('location') ?? '').origin, sandbox.origin)
    t.match(await cli('connect', '--integration', 'none'), {
      code: 1,
      err: /integration_not_found/,
    })
  })

  await t.test('clients create, list, revoke: the key is shown once and works', async (t) => {
    const created = await cli('clients', 'create', 'shop', '--grant', 'amocrm/demo')
    t.match(created, { code: 0, out: /^amo_broker_\w{10}_[\w-]{43}\n$/ })
    t.notMatch(created.err, /no grants/)
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

  await t.test('clients: a second key, grants, and the end of one key', async (t) => {
    const { accountId } = await row()
    const created = await cli('clients', 'create', 'report')
    t.match(created, { code: 0, err: /no grants, .*\n.*amo-broker clients grant report/ })
    const read = (key: string) => cliOf(broker, { BROKER_KEY: key })('accounts', 'list', '--names')
    t.match(await read(created.out.trim()), { code: 0, out: '' })
    const granted = await cli('clients', 'grant', 'report', 'amocrm/demo', 'amocrm/*')
    t.match(granted, { code: 0, out: new RegExp(`grants +amocrm/${accountId} amocrm/\\*`) })
    t.match(await read(created.out.trim()), { out: 'demo.amocrm.ru\n' })
    const withdrawn = await cli('clients', 'withdraw', 'report', 'amocrm/demo')
    t.match(withdrawn, { code: 0, out: /grants +amocrm\/\*\n/ })
    const again = await cli('clients', 'withdraw', 'report', 'amocrm/demo')
    t.match(again, { code: 1, err: /no grant on amocrm\/\d+\n.*clients show report/ })
    const replaced = await json('clients', 'grant', 'report', 'amocrm/demo', '--replace')
    t.match(replaced, { grants: [{ integration: 'amocrm', account: String(accountId) }] })
    t.match(await cli('clients', 'grant', 'report', 'demo'), { code: 2, err: /not a grant/ })

    const added = await json('clients', 'add-key', 'report', '--overlap-hours', '1')
    t.match(added, { key: String, key_id: String, client: { keys: { length: 2 } } })
    const [first] = added.client.keys.filter((key: Key) => key.key_id !== added.key_id)
    t.match(await cli('clients', 'show', 'report'), {
      out: new RegExp(`keys .*${first.key_id} \\(expires in \\d+ min\\)`),
    })
    t.match(await cli('clients', 'end-key', 'report', first.key_id), { code: 0 })
    t.match(await read(created.out.trim()), { code: 1, err: /unauthorized/ })
    t.match(await read(added.key), { code: 0 })
    const unknown = await cli('clients', 'end-key', 'report', first.key_id)
    t.match(unknown, { code: 1, err: /remedy: amo-broker clients list/ })
    t.match(await cli('clients', 'show', 'nobody'), { code: 1, err: /clients list/ })
    const revoked = await json('clients', 'revoke', 'report', '--yes')
    t.same(revoked, { name: 'report', revoked: true })
  })

  await t.test('integrations list, pause, resume, next-secret: from stdin or env', async (t) => {
    t.match(await cli('integrations', 'list'), {
      code: 0,
      out: /\namocrm +http.* +running +100\/s/,
    })
    t.match(await cli('integrations', 'pause', 'amocrm'), {
      out: /paused .*\n.*paused by operator/,
    })
    t.match(await cli('integrations', 'resume', 'amocrm'), { out: /running/ })
    for (const given of [{ INPUT: 'canary-next\n' }, { CLIENT_SECRET: 'canary-next' }]) {
      const next = await cliOf(broker, given)('integrations', 'next-secret', 'amocrm')
      t.match(next, { code: 0, err: '', out: /^Stored\./ })
      t.notMatch(next.out, 'canary')
    }
    const nothing = await cli('integrations', 'next-secret', 'amocrm')
    t.match(nothing, { code: 1, err: /nothing given\n.*set CLIENT_SECRET/ })
    t.match(await cli('integrations', 'next-secret', 'amocrm', '--remove'), { code: 0 })
  })

  await t.test('a typed secret is not shown', async (t) => {
    const shown = await typed(t, broker, 'integrations next-secret amocrm', 'canary-typed')
    t.match(shown, /Next client secret: /)
    t.match(shown, /Stored\./)
    t.notMatch(shown, 'canary-typed')
  })

  await t.test('audit: acts by actor, filtered', async (t) => {
    const all = await cli('audit', '--limit', '5')
    t.match(all, { code: 0, out: /^WHEN +WHO +DID/ })
    t.equal(all.out.trim().split('\n').length, 6)
    const paused = await json('audit', '--action', 'pauseAccount', '--since', '2026-01-01')
    t.match(paused, [{ actor: 'operator', action: 'pauseAccount', outcome: 'done' }])
    t.match(await cli('audit', 'list', '--since', 'now'), { code: 2 })
  })

  await t.test('package.json: the bin amo-broker is this program', async (t) => {
    const { bin, scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
    t.same(bin, { 'amo-broker': 'src/cli/main.ts' })
    t.match(scripts.cli, bin['amo-broker'])
    t.match(readFileSync('src/cli/main.ts', 'utf8'), /^#!\/usr\/bin\/env node\n/)
  })
})

/** Returns the terminal's content after a person has typed `secret` at the prompt. */
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
