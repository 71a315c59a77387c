import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { OPERATOR_KEY, startBroker, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { runCli } from './support/cli.ts'
import { makeClient } from './support/clients.ts'
import { signIn, Visitor } from './support/console.ts'
import { createDatabase, query } from './support/database.ts'
import { startProxy } from './support/proxy.ts'
import { underLoad } from './support/under-load.ts'

/** Whether the visitor's session is valid. A poll does not extend it. */
async function isIn(visitor: Visitor): Promise<boolean> {
  return (await visitor.get('/console', { 'hx-request': 'true' })).status === 200
}

/** Moves the times of all sessions into the past. */
function age(databaseUrl: string, column: 'lastSeenAt' | 'expiresAt', minutes: number) {
  return query(
    databaseUrl,
    `update amo_sessions set "${column}" = "${column}" - $1 * interval '1 minute'`,
    [minutes],
  )
}

t.test('sessions', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false })

  await t.test('without one: sign-in, and back to the page that was asked for', async (t) => {
    const visitor = new Visitor(broker)
    const asked = await visitor.get('/console/audit?actor=shop')
    t.equal(asked.status, 303)
    const url = asked.headers.get('location') ?? ''
    t.equal(url, '/console/sign-in?next=%2Fconsole%2Faudit%3Factor%3Dshop')
    t.match((await visitor.get(url)).text, 'name="next" value="/console/audit?actor=shop"')
    const next = '/console/audit?actor=shop'
    const { status, headers } = await visitor.post('/console/sign-in', { key: OPERATOR_KEY, next })
    t.equal(status, 303)
    t.equal(headers.get('location'), next)
    t.equal((await visitor.get(next)).status, 200)
    const cookie = headers.getSetCookie().join()
    t.match(
      cookie,
      /^amo-console=[\w-]{43}; Max-Age=43200; Path=\/console; HttpOnly; SameSite=Lax$/,
    )
  })

  await t.test('signing in leads to no other site', async (t) => {
    for (const next of [
      'https://evil.example/',
      '//evil.example',
      '/\\evil.example',
      '/tokens/demo',
      '/console\\@evil.example',
      '/console.evil.example',
    ]) {
      const visitor = new Visitor(broker)
      const { headers } = await visitor.post('/console/sign-in', { key: OPERATOR_KEY, next })
      t.equal(headers.get('location'), '/console', next)
      t.match(
        (await visitor.get(`/console/sign-in?${new URLSearchParams({ next })}`)).text,
        'value="/console"',
      )
    }
  })

  await t.test('a wrong key: 422 beside the field, nothing is filled in again', async (t) => {
    const visitor = new Visitor(broker)
    const { status, text } = await visitor.post('/console/sign-in', { key: 'canary-wrong-key' })
    t.equal(status, 422)
    t.match(text, /aria-invalid="true"[^>]*aria-describedby="field-key-hint field-key-error"/)
    t.match(text, 'unknown, expired or revoked')
    t.notMatch(text, 'canary')
    t.equal(visitor.cookies.size, 0)
    t.equal((await visitor.post('/console/sign-in', {})).status, 422, 'no key at all')
  })

  await t.test('only a keyed hash is stored', async (t) => {
    const visitor = await signIn(broker)
    const token = visitor.cookies.get('amo-console') ?? ''
    const stored = JSON.stringify(await query(databaseUrl, 'select * from amo_sessions'))
    t.ok(token.length === 43 && !stored.includes(token))
    const [one] = await query(databaseUrl, 'select hash from amo_sessions limit 1')
    const thief = new Visitor(broker)
    thief.cookies.set('amo-console', String(one?.hash))
    t.notOk(await isIn(thief), 'the hash opens nothing')
    t.notMatch(broker.log(), token)
  })

  await t.test('12 hours at most, 30 minutes without a visit; polls do not count', async (t) => {
    const visitor = await signIn(broker)
    await age(databaseUrl, 'lastSeenAt', 29)
    t.ok(await isIn(visitor), 'idle for 29 minutes')
    const [seen] = await query(
      databaseUrl,
      `select max("lastSeenAt") < now() - interval '28 minutes' as "isOld" from amo_sessions`,
    )
    t.ok(seen?.isOld, 'the poll was no visit')
    t.equal((await visitor.get('/console/doctor')).status, 200)
    await until(async () => {
      const [row] = await query(
        databaseUrl,
        `select max("lastSeenAt") > now() - interval '1 minute' as "isNew" from amo_sessions`,
      )
      return row?.isNew
    })
    const idle = await signIn(broker)
    await age(databaseUrl, 'lastSeenAt', 31)
    t.notOk(await isIn(idle), 'idle for 31 minutes')
    const poll = await idle.get('/console', { 'hx-request': 'true' })
    t.equal(poll.status, 401)
    t.equal(poll.headers.get('hx-redirect'), '/console/sign-in?ended=1&next=%2Fconsole')
    t.match((await idle.get('/console/sign-in?ended=1&next=%2Fconsole')).text, 'session has ended')
    const long = await signIn(broker)
    await age(databaseUrl, 'expiresAt', 12 * 60)
    t.notOk(await isIn(long), 'after 12 hours')
  })

  await t.test('a session that was altered in the database is none', async (t) => {
    const monitor = await signIn(broker, await makeClient(broker, 'altered', 'monitor'))
    for (const change of [
      `role = 'operator'`,
      `name = 'operator'`,
      `kind = 'person', role = 'operator'`,
      `"expiresAt" = "expiresAt" + interval '1 day'`,
    ]) {
      const where = `where name = 'altered'`
      const [before] = await query(databaseUrl, `select * from amo_sessions ${where}`)
      t.ok(await isIn(monitor), `before ${change}`)
      await query(databaseUrl, `update amo_sessions set ${change} ${where}`)
      t.notOk(await isIn(monitor), change)
      await query(
        databaseUrl,
        `update amo_sessions set role = $1, name = $2, kind = $3, "expiresAt" = $4 where hash = $5`,
        [before?.role, before?.name, before?.kind, before?.expiresAt, before?.hash],
      )
    }
  })

  await t.test('signing out ends the session, not only the cookie', async (t) => {
    const visitor = await signIn(broker)
    const copy = new Visitor(broker)
    for (const [name, value] of visitor.cookies) copy.cookies.set(name, value)
    const { headers } = await visitor.post('/console/sign-out')
    t.equal(headers.get('location'), '/console/sign-in')
    t.notOk(await isIn(copy))
    t.match((await visitor.get('/console/sign-in')).text, 'You are signed out.')
    t.notMatch((await visitor.get('/console/sign-in')).text, 'You are signed out.', 'said once')
  })

  await t.test('audited: who signed in and out', async (t) => {
    await signIn(broker, await makeClient(broker, 'anna', 'operator'))
    const { body } = await broker.get('/audit?actor=anna&action=signIn')
    t.match(body.entries, [{ actor: 'anna', action: 'signIn', outcome: 'done' }])
  })

  await t.test('guesses are limited together with those of the API', async (t) => {
    const visitor = new Visitor(broker)
    // At once, because each failure waits longer. Neither kind reaches the limit of 60 by itself.
    const guesses = Array.from({ length: 35 }, (_, tried) => [
      visitor.post('/console/sign-in', { key: `wrong-${tried}` }).then(({ text }) => text),
      fetch(`${broker.url}/accounts`).then((response) => response.text()),
    ])
    const answers = await Promise.all(guesses.flat())
    t.ok(
      answers.some((text) => /Too many failed keys/.test(text)),
      answers.join(),
    )
    t.equal((await broker.get('/accounts')).status, 200, 'a valid key is let in')
    await signIn(broker)
  })
})

t.test('a session ends with its client, on every replica, within a second', async (t) => {
  const databaseUrl = await createDatabase(t)
  const [one, two] = await Promise.all([
    startBroker(t, { databaseUrl }),
    startBroker(t, { databaseUrl }),
  ])
  const key = await makeClient(one, 'grafana', 'monitor')
  const visitor = await signIn(one, key)
  const elsewhere = new Visitor(two)
  for (const [name, value] of visitor.cookies) elsewhere.cookies.set(name, value)
  t.ok(await isIn(elsewhere), 'a session is valid on every replica')
  await fetch(`${one.url}/clients/grafana`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${OPERATOR_KEY}` },
  })
  const endedMs = performance.now()
  t.notOk(await isIn(visitor))
  await until(async () => !(await isIn(elsewhere)))
  t.ok(performance.now() - endedMs < underLoad(1_000))
})

t.test('sessions of OPERATOR_KEY end when it changes', async (t) => {
  const databaseUrl = await createDatabase(t)
  const before = await startBroker(t, { databaseUrl })
  const visitor = await signIn(before)
  const env = { OPERATOR_KEY: 'another-operator-key-0123456789' }
  const after = await startBroker(t, { databaseUrl, env })
  const moved = new Visitor(after)
  for (const [name, value] of visitor.cookies) moved.cookies.set(name, value)
  t.notOk(await isIn(moved))
  t.ok(await isIn(visitor))
})

t.test('one-time links', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false })
  const order = async () => {
    const { status, body } = await broker.post('/console-links', undefined)
    t.equal(status, 201)
    return new URL(body.url).pathname
  }

  await t.test('GET shows a button, POST signs in, once', async (t) => {
    const path = await order()
    const visitor = new Visitor(broker)
    const page = await visitor.get(path)
    t.equal(page.headers.get('cache-control'), 'no-store')
    t.match(page.text, '<button class="primary">Sign in</button>')
    t.equal((await visitor.get(path)).status, 200, 'a preview does not use it up')
    t.notOk(await isIn(visitor))
    t.equal((await visitor.post(path)).headers.get('location'), '/console')
    t.ok(await isIn(visitor))
    const second = new Visitor(broker)
    const { status, text } = await second.post(path)
    t.equal(status, 422)
    t.match(text, 'was used before')
    t.notOk(await isIn(second))
  })

  await t.test('two at once: one session', async (t) => {
    const path = await order()
    const visitors = [new Visitor(broker), new Visitor(broker), new Visitor(broker)]
    const answers = await Promise.all(visitors.map((visitor) => visitor.post(path)))
    t.equal(answers.filter(({ status }) => status === 303).length, 1)
  })

  await t.test('five minutes, hashed, and in no log', async (t) => {
    const path = await order()
    const token = path.split('/').at(-1) ?? ''
    t.ok(token.length >= 43)
    const stored = JSON.stringify(await query(databaseUrl, 'select * from amo_sign_in_links'))
    t.notMatch(stored, token)
    await query(databaseUrl, `update amo_sign_in_links set "expiresAt" = now() - interval '1 s'`)
    t.equal((await new Visitor(broker).post(path)).status, 422)
    t.notMatch(broker.log(), token)
    const audit = JSON.stringify((await broker.get('/audit')).body)
    t.notMatch(audit, token)
    t.match(audit, 'createSignInLink')
  })

  await t.test('amo-broker console: to a terminal only', async (t) => {
    const env = { BROKER_URL: broker.url, BROKER_KEY: OPERATOR_KEY }
    const piped = await runCli(['console'], env)
    t.equal(piped.code, 1)
    t.match(piped.err, 'printed to a terminal only')
    t.notMatch(piped.out + piped.err, '/console/enter/')
    const run = `'${process.execPath}' src/cli/main.ts console`
    const terminal = spawn('script', ['--quiet', '--return', '--command', run, '/dev/null'], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const shown = await text(terminal.stdout)
    const [, path = ''] = /http:\/\/[^/]+(\/console\/enter\/[\w-]{43})/.exec(shown) ?? []
    const visitor = new Visitor(broker)
    t.equal((await visitor.post(path)).status, 303)
    t.ok(await isIn(visitor))
  })

  await t.test('/ leads a browser to the console, and a program to the API', async (t) => {
    const leads = async (accept: string) => (await visit(accept)).headers.get('location')
    const visit = (accept: string) => new Visitor(broker).get('/', { accept })
    t.equal(await leads('text/html'), 'console')
    t.equal(await leads('application/json'), 'docs')
  })

  await t.test('a link opens the session of the key that ordered it', async (t) => {
    const key = await makeClient(broker, 'watcher', 'monitor')
    const { body } = await fetch(`${broker.url}/console-links`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
    }).then(async (response) => ({ body: (await response.json()) as { url: string } }))
    const visitor = new Visitor(broker)
    await visitor.post(new URL(body.url).pathname)
    const home = await visitor.get('/console')
    t.match(home.text, 'watcher (monitor)')
    t.notMatch(home.text, 'href="/console/audit"')
  })
})

t.test('while PostgreSQL is away, a known session sees a page from memory', async (t) => {
  const databaseUrl = await createDatabase(t)
  const proxy = await startProxy(t, databaseUrl)
  const broker = await startBroker(t, {
    databaseUrl: proxy.url,
    env: { HEARTBEAT_MS: '1000', READ_WAIT_MS: '300' },
  })
  const visitor = await signIn(broker)
  t.equal((await visitor.get('/console')).status, 200)
  proxy.set('refuse')
  proxy.cut()
  await until(async () => (await broker.get('/health/ready')).body.degraded.length > 0)
  const page = await visitor.get('/console/audit')
  t.equal(page.status, 503)
  t.match(page.text, 'PostgreSQL does not answer')
  t.match(page.text, 'Integrations, as this process last saw them')
  t.match(page.text, 'amocrm')
  t.notMatch(page.text, /<form(?![^>]*sign-out)/)
  t.equal((await visitor.post('/console/doctor')).status, 503, 'nothing can be done')
  const stranger = await new Visitor(broker).post('/console/sign-in', { key: OPERATOR_KEY })
  t.equal(stranger.status, 503)
  t.notMatch(stranger.text, 'amocrm', 'a stranger learns nothing')
  proxy.set('pass')
  await until(async () => (await visitor.get('/console')).status === 200)
})
