import t from 'tap'
import { buildSandbox } from '../src/sandbox/sandbox.ts'
import { createVisitor } from '../src/sandbox/visitor.ts'

const CLIENT = '11111111-0000-4000-8000-000000000001'

const sandbox = await buildSandbox({
  integrations: [
    {
      platform: 'amocrm',
      clientId: CLIENT,
      clientSecret: 'secret',
      redirectUri: 'http://127.0.0.1:1/callback',
    },
  ],
  accounts: [{ platform: 'amocrm', subdomain: 'demo', leads: 3 }],
  limits: false,
})
const origin = await sandbox.listen()
t.teardown(() => sandbox.close())
const visitor = createVisitor(origin)
const { world } = sandbox
const account = getAccount()
const HOST = 'demo.amocrm.ru'

/** Fields that the official PHP client reads without checking that they are present. */
const ACCOUNT_FIELDS =
  `id name subdomain created_by created_at updated_by updated_at current_user_id country
  currency is_unsorted_on mobile_feature_version customers_mode is_loss_reason_enabled is_helpbot_enabled
  is_technical_account contact_name_display_order`.split(/\s+/)
const USER_FIELDS = ['id', 'email', 'rights']
const RIGHTS_FIELDS =
  'catalog_access mail_access leads contacts companies tasks status_rights'.split(' ')
const PIPELINE_FIELDS = ['id', 'name', 'sort', 'account_id', 'is_main', 'is_unsorted_on']
const STATUS_FIELDS = 'id name sort is_editable pipeline_id color type account_id'.split(' ')
const LEAD_FIELDS =
  `id name price responsible_user_id group_id status_id pipeline_id loss_reason_id created_by
  updated_by created_at updated_at closed_at closest_task_at is_deleted custom_fields_values score
  account_id`.split(/\s+/)

t.test('GET /api/v4/account: the official client’s fields, and those of ?with=', async (t) => {
  const { body } = await call('GET', '/api/v4/account')
  t.same(missing(body, ACCOUNT_FIELDS), [])
  t.notOk('amojo_id' in body || 'version' in body)
  const wanted = 'amojo_id,uuid,version,amojo_rights,users_groups,task_types,datetime_settings'
  const { body: whole } = await call('GET', `/api/v4/account?with=${wanted}`)
  t.match(whole, {
    amojo_id: /-/,
    uuid: /-/,
    version: Number,
    _embedded: {
      amojo_rights: { can_direct: true },
      users_groups: [{ id: 0 }],
      task_types: [{ code: 'FOLLOW_UP' }, {}],
      datetime_settings: { timezone: 'Europe/Moscow', timezone_offset: '+03:00', date_format: /./ },
    },
  })
})

t.test('GET /api/v4/users and /users/:id: rights, ?with=', async (t) => {
  const { body } = await call('GET', '/api/v4/users?with=role,group,uuid,amojo_id')
  const [user] = listIn(body, 'users')
  t.same(missing(user, USER_FIELDS), [])
  t.same(missing(user?.rights, RIGHTS_FIELDS), [])
  t.match(user, { uuid: /-/, amojo_id: /-/, _embedded: { roles: Array, groups: Array } })
  const one = await call('GET', `/api/v4/users/${user?.id}`)
  t.equal(one.body.id, user?.id)
  t.equal((await call('GET', '/api/v4/users/1')).status, 204)
})

t.test('GET /api/v4/leads/pipelines and /:id: pipelines and statuses', async (t) => {
  const { body } = await call('GET', '/api/v4/leads/pipelines')
  const [pipeline] = listIn(body, 'pipelines')
  t.same(missing(pipeline, PIPELINE_FIELDS), [])
  for (const status of listIn(pipeline, 'statuses')) t.same(missing(status, STATUS_FIELDS), [])
  t.match((await call('GET', `/api/v4/leads/pipelines/${account.accountId}`)).body, {
    is_main: true,
  })
  t.equal((await call('GET', '/api/v4/leads/pipelines/1')).status, 404)
})

t.test('GET /api/v4/leads, /leads/:id: fields, ?with=, 204 for none', async (t) => {
  const { body } = await call('GET', '/api/v4/leads?with=contacts,loss_reason&limit=2')
  const leads = listIn(body, 'leads')
  t.equal(leads.length, 2)
  for (const lead of leads) t.same(missing(lead, LEAD_FIELDS), [])
  t.match(leads[0], { _embedded: { tags: [], companies: [], contacts: [], loss_reason: [] } })
  t.match((await call('GET', '/api/v4/leads/3')).body, { id: 3, name: 'Lead 3' })
  t.match(await call('GET', '/api/v4/leads/99'), { status: 204, text: '' })
})

t.test('POST and PATCH /api/v4/leads: created, changed, several, refused', async (t) => {
  const created = await call('POST', '/api/v4/leads', [
    { name: 'Made', price: 5, request_id: 'mine' },
    { name: 'Second' },
  ])
  t.match(created, { status: 200 })
  const [made, second] = listIn(created.body, 'leads')
  t.match(made, { id: 4, request_id: 'mine', _links: { self: { href: /leads\/4$/ } } })
  t.match(second, { id: 5, request_id: '1' })
  t.match((await call('GET', '/api/v4/leads/4')).body, { name: 'Made', price: 5 })
  const changed = await call('PATCH', '/api/v4/leads/4', { name: 'Changed' })
  t.match(changed, { status: 200, body: { id: 4, updated_at: Number } })
  t.match((await call('GET', '/api/v4/leads/4')).body, { name: 'Changed', price: 5 })
  const both = await call('PATCH', '/api/v4/leads', [
    { id: 4, price: 6 },
    { id: 5, price: 7 },
  ])
  t.match(listIn(both.body, 'leads'), [{ id: 4 }, { id: 5 }])
  t.match((await call('GET', '/api/v4/leads/5')).body, { price: 7 })
  t.match(listIn((await call('GET', '/api/v4/leads?query=Changed')).body, 'leads'), [{ id: 4 }])
  for (const [method, path, body] of [
    ['POST', '/api/v4/leads', { name: 'no list' }],
    ['PATCH', '/api/v4/leads/99', { name: 'nobody' }],
    ['PATCH', '/api/v4/leads', [{ id: 99 }]],
  ] as const) {
    const refused = await call(method, path, body)
    t.match(refused, { status: 400, contentType: 'application/problem+json' })
    t.match(refused.body, { 'validation-errors': Array })
  }
})

t.test('contacts: listed, created, changed', async (t) => {
  t.match(listIn((await call('GET', '/api/v4/contacts')).body, 'contacts'), [{ id: 1 }])
  await call('POST', '/api/v4/contacts', [{ name: 'Ann' }])
  await call('PATCH', '/api/v4/contacts/2', { first_name: 'Anna' })
  t.match((await call('GET', '/api/v4/contacts/2?with=leads')).body, {
    name: 'Ann',
    first_name: 'Anna',
    _embedded: { leads: [] },
  })
})

t.test('scenarios by name: what each does', async (t) => {
  const { body } = await visitor.control('GET', '/scenarios')
  const names = (body.scenarios as { name: string }[]).map(({ name }) => name)
  t.same(names, ['expired', 'revoked', 'moved', 'blocked', 'slow'])
  const start = async (name: string) => visitor.control('POST', `/scenarios/${name}?account=demo`)
  const pair = mint()
  const isDead = async () => (await visitor.api(HOST, '/api/v4/account', pair.accessToken)).status
  t.equal(await isDead(), 200)
  await start('expired')
  t.equal(await isDead(), 401)
  t.match(await refresh(pair.refreshToken), { status: 401, body: { hint: 'Token has expired' } })
  const next = mint()
  await start('revoked')
  t.match(await refresh(next.refreshToken), { body: { hint: 'Token has been revoked' } })
  await start('blocked')
  t.match(await refresh(mint().refreshToken), { status: 403, contentType: 'text/html' })
  await visitor.control('DELETE', '/faults')
  await start('slow')
  const signal = AbortSignal.timeout(200)
  const path = '/oauth2/account/current/subdomain'
  await t.rejects(visitor.send('GET', HOST, path, { signal }), 'no answer at once')
  await visitor.control('DELETE', '/faults')
  await start('moved')
  const moved = mint().accessToken
  t.equal((await visitor.api(HOST, '/api/v4/account', moved)).status, 404)
  t.equal((await visitor.api('demo-moved.amocrm.ru', '/api/v4/account', moved)).status, 200)
  t.equal((await visitor.control('POST', '/scenarios/unknown')).status, 404)
})

t.test('seed: the same seed fires the same faults', async (t) => {
  const fired = async (seed: number) => {
    const other = await buildSandbox({ seed })
    t.teardown(() => other.close())
    other.world.faults.add([{ fault: 'server_error', probability: 0.5 }])
    const [fault] = other.world.faults.list()
    return Array.from({ length: 20 }, () => (fault?.random() ?? 0) < 0.5)
  }
  t.same(await fired(7), await fired(7))
  t.notSame(await fired(7), await fired(8))
})

function call(method: 'GET' | 'POST' | 'PATCH', path: string, body?: unknown) {
  const { accessToken } = mint()
  return visitor.send(method, HOST, path, {
    headers: { authorization: `Bearer ${accessToken}` },
    json: body,
  })
}

function refresh(refreshToken: string) {
  return visitor.token(HOST, {
    client_id: CLIENT,
    client_secret: 'secret',
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
    redirect_uri: 'http://127.0.0.1:1/callback',
  })
}

function mint() {
  const integration = world.directory.integrations.get(CLIENT)
  if (integration === undefined) throw new Error('no integration')
  return world.grants.mintPair(account, integration)
}

function getAccount() {
  const found = world.directory.findAccount('demo')
  if (found === undefined) throw new Error('no account')
  return found
}

function missing(value: unknown, fields: string[]): string[] {
  const there = typeof value === 'object' && value !== null ? Object.keys(value) : []
  return fields.filter((field) => !there.includes(field))
}

function listIn(body: unknown, name: string): Record<string, unknown>[] {
  return (body as { _embedded: Record<string, Record<string, unknown>[]> })._embedded[name] ?? []
}
