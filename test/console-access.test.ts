import t from 'tap'
import { request } from 'undici'
import { diagnosis } from '../src/http/console/onboarding/outcome-parts.ts'
import { ONBOARDING_ENDS } from '../src/onboarding/outcomes.ts'
import { OPERATOR_KEY } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { makeClient } from './support/clients.ts'
import { signIn, Visitor } from './support/console.ts'
import { isConsole, routesOf } from './support/routes.ts'

/** Pages that monitors may see, with a path for each that has parameters. */
const MONITOR_SEES: Record<string, string> = {
  '/console': '/console',
  '/console/doctor': '/console/doctor',
  '/console/accounts': '/console/accounts',
  '/console/accounts/:integration/:account': '/console/accounts/amocrm/999999',
  '/console/integrations': '/console/integrations',
  '/console/integrations/:integration': '/console/integrations/amocrm',
}

/** What needs no session. */
const OPEN = ['/console/sign-in', '/console/enter/:link']
/** What monitors may send, too. */
const FOR_MONITORS = ['/console/sign-out']

/** Replaces parameters by values that fit no row. */
function fill(path: string): string {
  return path
    .replace(':account', '999999')
    .replace(/:\w*(?:id|onboarding|endpoint)\b/gi, '00000000-0000-4000-8000-000000000000')
    .replace(/:\w+/g, 'nothing')
}

t.test('every page of the console × every kind of visitor', async (t) => {
  const { broker } = await startBrokerWithSandbox(t)
  const monitorKey = await makeClient(broker, 'grafana', 'monitor', [])
  const readerKey = await makeClient(broker, 'shop', 'reader', [
    { integration: 'amocrm', account: '*' },
  ])
  const routes = await routesOf()
  const all = routes('GET /tokens/:account').filter(isConsole)
  const pathsOf = (method: string) =>
    all
      .filter((route) => route.startsWith(`${method} `))
      .map((route) => route.slice(method.length + 1))
  const posts = pathsOf('POST').filter((path) => !OPEN.includes(path))
  const gets = pathsOf('GET').filter(
    (path) => !OPEN.includes(path) && !path.includes('/assets/') && path !== '/console/*',
  )
  t.ok(posts.length > 0 && gets.length > 0)
  t.same(
    all.filter((route) => !/^(GET|HEAD|POST) /.test(route)),
    [],
    'forms have no other methods',
  )

  await t.test('without a session: sign-in, for every page and every form', async (t) => {
    const visitor = new Visitor(broker)
    for (const path of gets) {
      const { status, headers } = await visitor.get(fill(path))
      t.equal(status, 303, path)
      t.match(headers.get('location'), /^\/console\/sign-in\?/, path)
    }
    for (const path of posts) {
      const { status, headers } = await visitor.post(fill(path))
      t.equal(status, 303, path)
      t.match(headers.get('location'), /^\/console\/sign-in\?/, path)
    }
    const key = { authorization: `Bearer ${OPERATOR_KEY}` }
    t.equal((await visitor.get('/console', key)).status, 303, 'a key opens no page')
  })

  await t.test('no page tells an operator to make an API call', async (t) => {
    const call = /\b(?:GET|POST|PUT|PATCH|DELETE) \//
    const operator = await signIn(broker)
    for (const path of gets.filter((each) => !each.includes('/export/'))) {
      t.notMatch((await operator.get(fill(path))).text, call, path)
    }
    for (const end of ONBOARDING_ENDS) t.notMatch(diagnosis(end).toString(), call, end)
  })

  await t.test('a reader cannot sign in', async (t) => {
    const visitor = new Visitor(broker)
    const { status, text } = await visitor.post('/console/sign-in', { key: readerKey })
    t.equal(status, 422)
    t.match(text, 'is a reader')
    t.equal(visitor.cookies.size, 0)
  })

  await t.test('a monitor sees the listed pages, and can change nothing', async (t) => {
    const monitor = await signIn(broker, monitorKey)
    for (const path of gets) {
      const sample = MONITOR_SEES[path]
      const { status, text } = await monitor.get(sample ?? fill(path))
      if (sample === undefined) t.equal(status, 403, `${path} is for operators`)
      else t.ok([200, 404].includes(status), `${path}: ${status}`)
      t.notMatch(text, /<form(?![^>]*(?:sign-out|method="get"))/, `${path}: no form to send`)
    }
    for (const path of posts) {
      if (FOR_MONITORS.includes(path)) continue
      t.equal((await monitor.post(fill(path))).status, 403, path)
    }
    for (const path of Object.keys(MONITOR_SEES)) t.ok(gets.includes(path), `${path} exists`)
    t.equal((await monitor.post('/console/sign-out')).status, 303)
    t.equal((await monitor.get('/console')).status, 303, 'signed out')
  })

  await t.test('no other site can send a form', async (t) => {
    const operator = await signIn(broker)
    const refused = {
      'no header': {},
      'cross-site': { 'sec-fetch-site': 'cross-site' },
      'same-site': { 'sec-fetch-site': 'same-site' },
      'typed address': { 'sec-fetch-site': 'none' },
      'foreign origin': { origin: 'https://evil.example' },
      'foreign origin, false site': {
        origin: 'https://evil.example',
        'sec-fetch-site': 'same-origin',
      },
      'no origin': { origin: 'null' },
    } as Record<string, Record<string, string>>
    for (const path of [...posts, ...OPEN]) {
      for (const [name, headers] of Object.entries(refused)) {
        const { status, text } = await operator.post(fill(path), {}, headers)
        t.equal(status, 403, `${path}, ${name}`)
        t.match(text, 'Nothing was done')
      }
    }
    const own = await operator.post('/console/sign-out', {}, { origin: broker.url })
    t.equal(own.status, 303, 'our own origin is enough')
  })

  await t.test('another host, as after DNS rebinding: refused', async (t) => {
    const headers = { host: 'evil.example' }
    const { statusCode, body } = await request(`${broker.url}/console/sign-in`, { headers })
    t.equal(statusCode, 400)
    t.match(await body.text(), 'CONSOLE_URL')
  })
})
