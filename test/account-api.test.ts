import t from 'tap'
import { insertAccounts } from './support/account-rows.ts'
import { OPERATOR_KEY, startBroker, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask, makeClient } from './support/clients.ts'
import { query } from './support/database.ts'

const operator = { authorization: `Bearer ${OPERATOR_KEY}` }

t.test('what the console needs of the API', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, databaseUrl, sandbox } = stage
  const call = (method: string, path: string, body?: unknown, headers = operator) =>
    ask(broker.url, method, path, headers, body)
  const demo = (await broker.get('/accounts/demo')).body

  await t.test('GET /accounts: filters, order, limit and pages', async (t) => {
    await insertAccounts(databaseUrl, 5, {
      status: `'reauth_required'`,
      '"lastErrorCode"': `'spent_elsewhere'`,
      '"lastErrorAt"': 'now()',
      '"nextAttemptAt"': 'null',
      paused: 'true',
    })
    const ids = async (search: string) => {
      const { status, body } = await call('GET', `/accounts${search}`)
      t.equal(status, 200, search)
      return body.accounts.map((each: { account_id: number }) => each.account_id)
    }
    t.equal((await ids('')).length, 6)
    t.same(await ids('?status=active'), [demo.account_id])
    t.equal((await ids('?error=spent_elsewhere&status=reauth_required&paused=true')).length, 5)
    t.same(await ids('?q=1000003'), [1_000_003])
    t.same(await ids('?q=demo'), [demo.account_id])
    t.same(await ids('?warning=any'), [])
    t.same(await ids('?integration=kommo'), [])
    const first = (await call('GET', '/accounts?order=next_refresh&limit=2')).body
    t.equal(first.accounts[0].account_id, demo.account_id, 'accounts without a plan are last')
    t.match(first.next, /^amocrm\/\d+\/never$/)
    const rest = await ids(`?order=next_refresh&limit=10&after=${first.next}`)
    t.same(rest, [1_000_002, 1_000_003, 1_000_004, 1_000_005])
    for (const wrong of [
      'status=dead',
      'order=name',
      'limit=0',
      'limit=201',
      'q=',
      'q=%00',
      'error=Robert%27',
      'after=amocrm/1/2',
      `order=expiry&after=amocrm/1`,
      'order=expiry&after=amocrm/1/99999999999999999',
    ]) {
      const { status, body } = await call('GET', `/accounts?${wrong}`)
      t.match({ status, body }, { status: 400, body: { code: 'bad_request' } }, wrong)
    }
  })

  await t.test('PATCH /accounts/:account: the label, audited without its text', async (t) => {
    const label = `О'Brien <b>&\u202e "Ромашка"`
    t.match(await call('PATCH', '/accounts/demo', { label }), { status: 200, body: { label } })
    t.match((await call('GET', '/accounts?q=ромаш')).body.accounts, [{ label }])
    for (const wrong of [' x', 'x ', 'a\nb', 'x'.repeat(121)]) {
      t.equal((await call('PATCH', '/accounts/demo', { label: wrong })).status, 400, String(wrong))
    }
    t.equal((await call('PATCH', '/accounts/missing', { label })).status, 404)
    t.match(await call('PATCH', '/accounts/demo', { label: null }), { body: { label: null } })
    t.same((await call('GET', '/accounts?q=ромаш')).body.accounts, [])
    const acts = await query(
      databaseUrl,
      `select actor, outcome, to_jsonb(a)::text as text from amo_audit a where action = 'labelAccount'
       and outcome = 'done' order by id`,
    )
    t.match(acts, [{ actor: 'operator' }, { actor: 'operator' }])
    t.notMatch(JSON.stringify(acts), /Ромашка/)
  })

  await t.test('GET …/attempts: steps of each refresh; failures only on demand', async (t) => {
    sandbox.world.faults.set([{ fault: 'too_many_requests', endpoint: 'token', times: 1 }])
    await stage.makeDue(demo.account_id)
    await until(async () => (await broker.get('/accounts/demo')).body.last_error !== null)
    await stage.makeDue(demo.account_id)
    await until(async () => (await broker.get('/accounts/demo')).body.last_error === null)
    const { body } = await call('GET', '/accounts/demo/attempts')
    t.match(body.attempts[0], {
      outcome: 'committed',
      steps: [{ kind: 'claimed' }, { kind: 'sent' }, { kind: 'committed' }],
    })
    const failures = (await call('GET', '/accounts/demo/attempts?failures=true')).body.attempts
    t.ok(failures.length >= 1 && failures.length < body.attempts.length)
    t.ok(failures.every((each: { reason: string }) => each.reason !== null))
    const page = (await call('GET', '/accounts/demo/attempts?limit=1')).body
    t.equal(page.next, page.attempts[0].id)
    const next = (await call('GET', `/accounts/demo/attempts?limit=1&before=${page.next}`)).body
    t.equal(next.attempts[0].id, body.attempts[1].id)
    t.notMatch(JSON.stringify(body), /fingerprint|parked/i)
  })

  await t.test('GET …/readers: who has read the token in the last week', async (t) => {
    const key = await makeClient(broker, 'shop', 'reader', [
      { integration: 'amocrm', account: '*' },
    ])
    const read = await ask(broker.url, 'GET', '/tokens/demo', { authorization: `Bearer ${key}` })
    t.equal(read.status, 200)
    await query(
      databaseUrl,
      `insert into amo_audit (actor, action, integration, "accountId", outcome, at)
       values ('long-ago', 'readToken', 'amocrm', $1, 'done', now() - interval '8 days'),
         ('other', 'readToken', 'amocrm', 77, 'done', now())`,
      [demo.account_id],
    )
    const readers = async () => (await call('GET', '/accounts/demo/readers')).body.readers
    await until(async () =>
      (await readers()).some((each: { client: string }) => each.client === 'shop'),
    )
    const names = (await readers()).map((each: { client: string }) => each.client)
    t.notOk(names.includes('long-ago') || names.includes('other'))
  })

  await t.test(
    'GET /forecast: what falls due, the pace, and when the backlog clears',
    async (t) => {
      const { status, body } = await call('GET', '/forecast')
      t.equal(status, 200)
      const [amocrm] = body.integrations
      t.match(amocrm, { integration: 'amocrm', state: 'running', backlog: 0, clears_at: String })
      t.equal(amocrm.hours.length, 24)
      t.equal(amocrm.hours[0].capacity, amocrm.pace_per_second * 3600)
      const due = amocrm.hours.reduce((sum: number, hour: { due: number }) => sum + hour.due, 0)
      t.ok(due >= 1, 'the account is refreshed within the day')
    },
  )

  await t.test('PATCH /integrations/:integration: the pace stays after a restart', async (t) => {
    const pace = async () => (await call('GET', '/integrations/amocrm')).body.pace_per_second
    const common = await pace()
    const set = (value: unknown) =>
      call('PATCH', '/integrations/amocrm', { pace_per_second: value })
    for (const wrong of [0, -1, 1_001, '5x', null, undefined])
      t.equal((await set(wrong)).status, 400)
    t.match(await set(7.5), { status: 200, body: { pace_per_second: 7.5 } })
    const again = await startBroker(t, { databaseUrl, sandbox })
    t.equal((await again.get('/integrations/amocrm')).body.pace_per_second, 7.5)
    await again.stop()
    t.match(await set('default'), { status: 200, body: { pace_per_second: common } })
  })

  await t.test('clean-up: removes what it has listed, and only if it still is so', async (t) => {
    await query(
      databaseUrl,
      `update amo_tokens set "statusSince" = now() - interval '100 days' where "accountId" in (1000001, 1000002, 1000003)`,
    )
    const listed = (await call('GET', '/clean-up?older_than_days=90')).body
    t.equal(listed.total, 3)
    t.same((await call('GET', '/clean-up?older_than_days=101')).body.total, 0)
    await query(databaseUrl, `update amo_tokens set status = 'active' where "accountId" = 1000002`)
    const accounts = [1_000_001, 1_000_002, 1_000_003, 1_000_004, demo.account_id, 99].map(
      (id) => ({
        integration: 'amocrm',
        account_id: id,
      }),
    )
    const order = { older_than_days: 90, accounts }
    const [one, two] = await Promise.all([
      call('POST', '/clean-up', order),
      call('POST', '/clean-up', order),
    ])
    const removed = [...one.body.removed, ...two.body.removed].map((each) => each.account_id)
    t.same(removed.toSorted(), [1_000_001, 1_000_003], 'each is removed once')
    t.equal((await broker.get('/accounts/demo')).status, 200)
    const acts = await query(
      databaseUrl,
      `select "accountId"::int from amo_audit where action = 'cleanUp' and outcome = 'done'
       and "accountId" is not null order by 1`,
    )
    t.same(acts, [{ accountId: 1_000_001 }, { accountId: 1_000_003 }])
  })
})
