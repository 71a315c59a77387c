import t from 'tap'
import { startBroker } from './support/broker.ts'
import { Visitor } from './support/console.ts'
import { createDatabase } from './support/database.ts'
import {
  OIDC_CLIENT_ID,
  OIDC_CLIENT_SECRET,
  signInAtProvider,
  startOpenIdProvider,
} from './support/open-id-provider.ts'
import { freePorts } from './support/ports.ts'

t.test('signing in through OpenID Connect', async (t) => {
  const ports = (await freePorts(2)) as [number, number]
  const callback = `http://127.0.0.1:${ports[0]}/console/sign-in/oidc/callback`
  const provider = await startOpenIdProvider(t, callback)
  const broker = await startBroker(t, {
    databaseUrl: await createDatabase(t),
    ports,
    env: { OIDC_ISSUER: provider.issuer, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET },
  })

  /** Begins at the console, signs in at the provider, and returns to the callback. */
  const attempt = async (visitor: Visitor, change = (url: URL) => url) => {
    const begun = await visitor.post('/console/sign-in/oidc', { next: '/console/doctor' })
    t.equal(begun.status, 200)
    const target = begun.headers.get('refresh')?.replace('0; url=', '') ?? ''
    t.match(target, /code_challenge=[\w-]{43}&code_challenge_method=S256/)
    t.match(target, /nonce=[\w-]{43}/)
    const back = change(new URL(await signInAtProvider(target, callback)))
    return visitor.get(back.pathname + back.search)
  }

  await t.test('an operator, by a claim; the audit names the person', async (t) => {
    provider.person = { email: 'Anna@Example.com', email_verified: true, roles: ['operator'] }
    const visitor = new Visitor(broker)
    t.match((await visitor.get('/console/sign-in')).text, 'Sign in with your company’s account')
    const { status, headers } = await attempt(visitor)
    t.equal(status, 303)
    t.equal(headers.get('location'), '/console/doctor')
    t.match((await visitor.get('/console/doctor')).text, 'anna@example.com (operator)')
    t.equal((await visitor.post('/console/doctor')).status, 303, 'an operator may act')
    const { body } = await broker.get('/audit?actor=anna@example.com')
    t.match(
      body.entries.map(({ action }: { action: string }) => action),
      ['startDoctor', 'signInWithOpenId'],
    )
  })

  await t.test('a monitor sees and cannot act', async (t) => {
    provider.person = { email: 'boris@example.com', email_verified: true, roles: 'monitor' }
    const visitor = new Visitor(broker)
    await attempt(visitor)
    t.equal((await visitor.get('/console')).status, 200)
    t.equal((await visitor.post('/console/doctor')).status, 403)
  })

  await t.test('an address that nobody verified names nobody', async (t) => {
    provider.person = { email: 'anna@example.com', email_verified: false, roles: ['monitor'] }
    const visitor = new Visitor(broker)
    await attempt(visitor)
    const { text } = await visitor.get('/console')
    t.match(text, 'person-1@127.0.0.1 (monitor)')
    t.notMatch(text, 'anna@')
  })

  await t.test('without a role: 403', async (t) => {
    for (const roles of [undefined, 'reader', ['admin'], { operator: true }]) {
      provider.person = { email: 'eve@example.com', email_verified: true, roles }
      const visitor = new Visitor(broker)
      t.equal((await attempt(visitor)).status, 403, JSON.stringify(roles))
      t.equal((await visitor.get('/console')).status, 303)
    }
  })

  provider.person = { email: 'eve@example.com', email_verified: true, roles: ['operator'] }
  const now = () => Math.floor(Date.now() / 1000)
  const wrong: Record<string, (claims: Record<string, unknown>) => Record<string, unknown>> = {
    'wrong audience': (claims) => ({ ...claims, aud: 'another-client' }),
    'wrong nonce': (claims) => ({ ...claims, nonce: 'another-nonce' }),
    'no nonce': ({ nonce: _, ...claims }) => claims,
    expired: (claims) => ({ ...claims, iat: now() - 7_200, exp: now() - 3_600 }),
    'wrong issuer': (claims) => ({ ...claims, iss: 'https://evil.example' }),
  }
  for (const [name, tamper] of Object.entries(wrong)) {
    await t.test(`an ID token with ${name}: refused`, async (t) => {
      provider.tamper = tamper
      const visitor = new Visitor(broker)
      const { status } = await attempt(visitor)
      provider.tamper = undefined
      t.equal(status, 401)
      t.equal((await visitor.get('/console')).status, 303, 'no session')
    })
  }

  await t.test('a callback with another state, or in another browser: refused', async (t) => {
    const visitor = new Visitor(broker)
    const changed = await attempt(visitor, (url) => {
      url.searchParams.set('state', 'another')
      return url
    })
    t.equal(changed.status, 401)
    const stranger = new Visitor(broker)
    t.equal((await stranger.get(`${new URL(callback).pathname}?code=x&state=y`)).status, 401)
    t.notMatch(broker.log(), OIDC_CLIENT_SECRET)
  })
})
