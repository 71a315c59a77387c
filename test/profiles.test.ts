import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { integrationSettings } from '../src/config/integration-settings.ts'
import { makeButton, makeExternalButton } from '../src/connect-links/buttons.ts'
import { createExternalIntegration } from '../src/connect-links/external-integrations.ts'
import { ConnectLinks } from '../src/connect-links/links.ts'
import { openPostgres } from '../src/db/postgres.ts'
import type { ExternalSeed } from '../src/db/tables/onboarding.ts'
import { Integrations } from '../src/integrations/directory.ts'
import { Exchanges } from '../src/onboarding/exchanges.ts'
import { validateCallback } from '../src/onboarding/validate-callback.ts'
import { PROFILES, type Profile, settingNames } from '../src/provider/profile-table.ts'
import { authorizeUrl, isAllowedHost, profileOf, typedHost } from '../src/provider/profiles.ts'
import { classifyRefusal } from '../src/provider/refusals.ts'
import { KeyedHash } from '../src/vault/keyed-hash.ts'
import { secretAt } from '../src/vault/sealed-places.ts'
import { Secret } from '../src/vault/secret.ts'
import { testAct } from './support/acts.ts'
import { createLedger } from './support/engine.ts'

const THIRD: Profile = {
  ...PROFILES.kommo,
  title: 'Third',
  platformNumber: '3',
  envPrefix: 'THIRD',
  authorizeUrl: 'https://third.example/oauth',
  zones: ['third.example'],
  allowedHosts: '[a-z0-9-]+\\.third\\.example',
  siteHosts: ['third.example'],
  button: { className: 'third_oauth', scriptUrl: 'https://third.example/button.js' },
  hints: { 'Spent before': 'token_revoked' },
}
const TABLE = { ...PROFILES, third: THIRD }
const PATH = '/third/callback'
const REDIRECT_URI = `https://broker.example${PATH}`
const ORDER = { mode: 'popup' as const, expectedAccount: undefined, createdBy: 'test' }
const LOOK = { name: 'n', description: '', title: 'Connect', logo: undefined, scopes: ['crm'] }

/** A broker's parts with a third entry in the table, and an integration of each provider. */
async function openParts(t: Test) {
  const { config, databaseUrl } = await createLedger(t)
  const log = pino({ level: 'silent' })
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, log)
  t.teardown(() => database.close())
  const { keyRing } = config
  const integrations = new Integrations(database, keyRing, log, TABLE)
  const hash = new KeyedHash(() => new Secret('root'), 'connect-state')
  const states = hash
  const links = new ConnectLinks(database, integrations, hash)
  const exchanges = new Exchanges({ database, integrations, hash, states, log, onEnd() {} })
  for (const provider of Object.keys(TABLE)) {
    const row = {
      name: `of-${provider}`,
      // The column takes any provider; the type knows the built-in ones.
      provider: provider as 'amocrm',
      clientId: randomUUID(),
      redirectUri: `https://broker.example/${provider}/callback`,
    }
    const place = secretAt({ ...row, sandboxOrigin: null, profile: {} }, 'clientSecret')
    await database.db
      .insertInto('amo_integrations')
      .values({ ...row, clientSecret: keyRing.seal('secret', place), acceptsInstalls: true })
      .execute()
  }
  await integrations.reload()
  return { database, integrations, keyRing, states, links, exchanges, log, linkHash: hash }
}

t.test('a third profile: its own button, platform number and hosts everywhere', async (t) => {
  const parts = await openParts(t)
  const { integrations } = parts

  await t.test('buttons carry its script and class', async (t) => {
    for (const [name, { button }] of Object.entries(TABLE)) {
      const { attributes } = await makeButton(
        parts,
        { ...ORDER, integration: `of-${name}` },
        LOOK,
        testAct(),
      )
      t.match(attributes, { class: button.className, src: button.scriptUrl }, name)
    }
  })

  await t.test('an external integration is of the third provider', async (t) => {
    const seed = { redirectUri: REDIRECT_URI, sandboxOrigin: null, profile: {} }
    const external = { ...seed, provider: 'third' as string } as ExternalSeed
    const { attributes, state } = await makeExternalButton(parts, ORDER, external, LOOK, testAct())
    t.match(attributes, { class: 'third_oauth', src: 'https://third.example/button.js' })
    const keys = { clientId: randomUUID(), clientSecret: new Secret('s'), state }
    t.equal(await createExternalIntegration(parts, keys), 'accepted')
    const made = integrations.all().find(({ clientId }) => clientId === keys.clientId)
    t.match(made, { provider: 'third', profile: { title: 'Third', platformNumber: '3' } })
  })

  await t.test('a callback must carry its number and one of its hosts', async (t) => {
    const { clientId: client_id } = integrations.get('of-third')
    const good = { code: 'c'.repeat(60), client_id, platform: '3', referer: 'demo.third.example' }
    const validate = (query: object) =>
      validateCallback(parts, PATH, { ...good, ...query }, { browserId: undefined, network: '' })
    t.match(await validate({}), {
      callback: { integration: 'of-third', referer: 'demo.third.example' },
    })
    for (const platform of ['1', '2', '4', 'third'])
      t.match(await validate({ platform }), { problem: 'foreign_platform' }, platform)
    for (const referer of ['demo.amocrm.ru', 'demo.kommo.com', 'third.example', ''])
      t.match(await validate({ referer }), { problem: 'foreign_referer' }, referer)
  })

  t.test('hosts, authorize URL, hints', (t) => {
    const profile = profileOf('third', {}, TABLE)
    t.equal(typedHost(profile, 'demo'), 'demo.third.example')
    t.notOk(isAllowedHost(profile, 'demo.amocrm.ru') || isAllowedHost(profile, 'demo.kommo.com'))
    t.match(
      authorizeUrl(integrations.get('of-third'), 'state', 'popup'),
      /^https:\/\/third\.example/,
    )
    const refusal = (hint: string) => ({
      status: 401,
      contentType: 'application/problem+json',
      retryAfterSeconds: undefined,
      body: JSON.stringify({ hint }),
      isWhole: true,
    })
    t.equal(classifyRefusal(refusal('Spent before'), profile), 'token_revoked')
    t.equal(classifyRefusal(refusal('Token has been revoked'), profile), 'unknown_refusal')
    t.equal(classifyRefusal(refusal('toString'), profile), 'unknown_refusal')
    t.end()
  })

  t.test('settings and texts list it', (t) => {
    t.same(
      Object.keys(integrationSettings(TABLE)).filter((name) => name.startsWith('THIRD_')),
      ['THIRD_CLIENT_ID', 'THIRD_CLIENT_SECRET', 'THIRD_REDIRECT_URI', 'THIRD_SANDBOX_ORIGIN'],
    )
    t.match(settingNames('CLIENT_ID', TABLE), 'THIRD_CLIENT_ID')
    t.end()
  })
})

t.test('an integration of a provider without a profile is ignored', async (t) => {
  const { database, keyRing, log } = await openParts(t)
  const known = new Integrations(database, keyRing, log)
  await known.reload()
  t.same(
    known.all().map(({ name }) => name),
    ['amocrm', 'of-amocrm', 'of-kommo'],
  )
  t.throws(() => profileOf('third', {}), /no provider profile "third"/)
  t.throws(() => profileOf('toString', {}), /no provider profile/)
})

t.test(
  'each zone of a profile is one of its allowed hosts; numbers and prefixes are unique',
  (t) => {
    const all: Profile[] = Object.values(PROFILES)
    for (const profile of all) {
      for (const zone of profile.zones) t.ok(isAllowedHost(profile, `demo.${zone}`), zone)
      t.ok(isAllowedHost(profile, profile.sandbox.apiHost), profile.sandbox.apiHost)
    }
    for (const field of ['platformNumber', 'envPrefix'] as const)
      t.equal(new Set(all.map((profile) => profile[field])).size, all.length, field)
    t.end()
  },
)

t.test('no other file of the broker decides by a provider’s name', (t) => {
  const files = ['onboarding/validate-callback', 'connect-links/buttons', 'config/load-config']
  for (const file of [...files, 'connect-links/external-integrations', 'config/settings']) {
    const source = readFileSync(new URL(`../src/${file}.ts`, import.meta.url), 'utf8')
    t.notMatch(source, /['"](?:amocrm|kommo)['"]/, file)
  }
  t.end()
})
