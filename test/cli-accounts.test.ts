import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { nameCommands } from '../src/cli/common/remedies.ts'
import { insertAccounts } from './support/account-rows.ts'
import { OPERATOR_KEY } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { runCli } from './support/cli.ts'
import { query } from './support/database.ts'

t.test('accounts: filters of the broker, labels, history and clean-up', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  await insertAccounts(databaseUrl, 150, {
    status: `case when n <= 120 then 'reauth_required' else 'active' end`,
    '"lastErrorCode"': `case when n <= 120 then 'spent_elsewhere' end`,
    '"lastErrorAt"': 'now()',
    paused: 'n = 150',
  })
  const env = { BROKER_URL: broker.url, BROKER_KEY: OPERATOR_KEY }
  const cli = (...args: string[]) => runCli(args, env)
  const names = async (...args: string[]) => {
    const { code, out } = await cli('accounts', 'list', '--names', ...args)
    t.equal(code, 0)
    return out.trim().split('\n').filter(Boolean)
  }

  await t.test('list: the broker filters, and only what is needed is read', async (t) => {
    const [all, dead, searched, limited, paused] = await Promise.all([
      names(),
      names('--status', 'reauth_required', '--error'),
      names('--search', '100012'),
      names('--order', 'next_refresh', '--limit', '2'),
      names('--paused'),
    ])
    t.equal(all?.length, 151)
    t.equal(dead?.length, 120, 'more than a page')
    t.equal(searched?.length, 10)
    t.equal(limited?.length, 2)
    t.same(paused, ['shop-1000150.amocrm.ru'])
    t.same(await names('--error', 'other_code'), [])
  })

  await t.test('label, attempts, readers: as text and as JSON', async (t) => {
    const label = await cli('accounts', 'label', 'demo', 'Acme, Berlin')
    t.match(label, { code: 0, out: /label +Acme, Berlin/ })
    t.match(await cli('accounts', 'list', '--search', 'berlin'), { out: /Acme, Berlin/ })
    t.match(await cli('accounts', 'label', 'demo'), { code: 2, err: /--remove/ })
    t.match(await cli('accounts', 'label', 'demo', '--remove'), { code: 0 })
    t.match(await cli('accounts', 'attempts', '1000001'), { out: /no refresh attempt/ })
    const attempts = await cli('accounts', 'attempts', 'demo', '--failures', '--json')
    t.same(JSON.parse(attempts.out), [])
    t.match(await cli('accounts', 'readers', 'demo'), { code: 0 })
    t.match(JSON.parse((await cli('accounts', 'readers', 'demo', '--json')).out), { readers: [] })
  })

  await t.test('clean: lists, asks, and removes page after page', async (t) => {
    await query(
      databaseUrl,
      `update amo_tokens set "statusSince" = now() - interval '91 days'
      where status = 'reauth_required'`,
    )
    const dry = await cli('accounts', 'clean', '--older-than', '90d', '--dry-run')
    t.match(dry, { code: 0, out: /shop-1000001/ })
    t.match(await cli('accounts', 'clean', '--older-than', '92d'), { out: /nothing to clean up/ })
    t.match(await cli('accounts', 'clean', '--older-than', '90d'), { code: 1, err: /add --yes/ })
    t.match(await cli('accounts', 'clean', '--older-than', 'soon'), { code: 2, err: /90d/ })
    t.equal((await names()).length, 151, 'nothing was removed yet')
    const done = await cli('accounts', 'clean', '--older-than', '90d', '--yes', '--json')
    t.equal(JSON.parse(done.out).removed.length, 120)
    t.equal((await names()).length, 31)
  })

  await t.test('integrations pace: a number, or the default', async (t) => {
    t.match(await cli('integrations', 'pace', 'amocrm', '5', '--json'), {
      out: /"pace_per_second": 5/,
    })
    t.match(await cli('integrations', 'pace', 'amocrm', 'default'), { code: 0 })
    t.match(await cli('integrations', 'pace', 'amocrm', '0'), { code: 2 })
  })
})

t.test('no remedy on the command line names an HTTP call', (t) => {
  const folder = join(import.meta.dirname, '../src')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && !/^(?:sandbox|client|http\/openapi)\//.test(name),
  )
  const texts = files.flatMap((name) =>
    Array.from(
      readFileSync(join(folder, name), 'utf8').matchAll(
        /(?:remedy|REMEDY\w*)\s*[:=]\s*(?:'([^']+)'|`([^`$]+)`)/g,
      ),
      ([, one, two]) => one ?? two ?? '',
    ),
  )
  t.ok(texts.length > 60, `${texts.length} remedies`)
  for (const text of texts) {
    t.notMatch(nameCommands(text), /(?:GET|POST|PUT|PATCH|DELETE) \/|\?integration=/, text)
  }
  t.end()
})
