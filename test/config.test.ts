import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { parseEnv } from 'node:util'
import t, { type Test } from 'tap'
import { ConfigError, checkCache } from '../src/config/checks.ts'
import { type Config, loadConfig } from '../src/config/load-config.ts'
import { settings } from '../src/config/settings.ts'
import { findWeaknesses } from '../src/config/weaknesses.ts'

/** Part of every wrong value. Any value may be a secret, so none may be shown. */
const CANARY = 'canary'
const key = (id: string, first = 7, bytes = 32) =>
  `${id}:${Buffer.from(Array.from({ length: bytes }, (_, at) => first + at)).toString('base64')}`

const EMBEDDED = { ENCRYPTION_KEYS: key('k1') }
const STANDALONE = {
  ...EMBEDDED,
  DATABASE_URL: 'postgres://amo:canary@127.0.0.1/amo',
  DEPLOYMENT_ID: 'test',
  OPERATOR_KEY: 'canary-0123456789-operator',
}
const REPLICATED = { ...STANDALONE, REDIS_URL: 'redis://:canary@127.0.0.1:6379' }
const AMO = {
  AMO_CLIENT_ID: 'canary-id',
  AMO_CLIENT_SECRET: 'canary-secret',
  AMO_REDIRECT_URI: 'https://broker.example/api/v1/integrations/amo-crm/callback',
}

/** Read by docker-compose.yml, not by the broker. */
const COMPOSE_ONLY = ['POSTGRES_PASSWORD', 'NODE_IMAGE', 'POSTGRES_IMAGE', 'REDIS_IMAGE']
/** Inside the container the defaults need no change. */
const OF_THE_IMAGE = ['DATA_DIR', 'INTERNAL_HOST', 'INTERNAL_PORT', 'PUBLIC_HOST', 'PUBLIC_PORT']

type Variables = Record<string, string>

async function problemsOf(variables: Variables): Promise<readonly string[]> {
  try {
    await loadConfig(variables)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

/** Asserts exactly these problems, without any text of a value. */
async function refuses(t: Test, variables: Variables, ...patterns: RegExp[]): Promise<void> {
  const problems = await problemsOf(variables)
  const all = problems.join('\n')
  t.equal(problems.length, patterns.length, all || `accepted: ${Object.keys(variables)}`)
  for (const pattern of patterns) t.match(all, pattern)
  t.notMatch(all, CANARY)
}

interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

async function startsAndEnds(variables: Variables): Promise<Ended> {
  const env = { PATH: process.env.PATH, ...variables }
  const child = spawn(process.execPath, ['src/main.ts'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await once(child, 'exit')
  const [stdout, stderr] = await output
  return { code, stdout, stderr }
}

t.test('wrong settings: the process names each one without its value, and exits 1', async (t) => {
  const dataDir = t.testdir()
  const cases: [Variables, ...RegExp[]][] = [
    [{}, /^amo-token-broker: ENCRYPTION_KEYS is missing: .*amo-broker keygen/m],
    [
      { DATABASE_URL: 'postgres://amo:canary@127.0.0.1/amo' },
      /^amo-token-broker: ENCRYPTION_KEYS is missing/m,
      /^amo-token-broker: DEPLOYMENT_ID is missing/m,
      /^amo-token-broker: OPERATOR_KEY is missing/m,
    ],
    [{ ...EMBEDDED, INTERNAL_PORT: CANARY }, /^amo-token-broker: INTERNAL_PORT must be integer/m],
    [{ ...EMBEDDED, DATABASE_ULR: CANARY }, /^amo-token-broker: DATABASE_ULR .*DATABASE_URL\?$/m],
    [{ ...EMBEDDED, AMO_CLIENT_SECRET: CANARY }, /^amo-token-broker: AMO_CLIENT_ID is missing/m],
    [{ ENCRYPTION_KEYS: `k1:${CANARY}` }, /^amo-token-broker: ENCRYPTION_KEYS is malformed/m],
  ]
  await Promise.all(
    cases.map(async ([variables, ...patterns]) => {
      const { code, stdout, stderr } = await startsAndEnds({ DATA_DIR: dataDir, ...variables })
      t.equal(code, 1)
      t.equal(stdout, '', 'nothing was started')
      for (const pattern of patterns) t.match(stderr, pattern)
      t.match(stderr, /\.env\.example explains every setting\n$/)
      t.notMatch(stderr, CANARY)
      t.notMatch(stderr, /\n\s+at /, 'no stack')
    }),
  )
})

t.test('missing settings are named with the way to get them', async (t) => {
  await refuses(t, {}, /^ENCRYPTION_KEYS is missing: make one with amo-broker keygen/)
  const { DATABASE_URL } = STANDALONE
  await refuses(
    t,
    { ...EMBEDDED, DATABASE_URL },
    /^DEPLOYMENT_ID is missing: name this deployment/m,
    /^OPERATOR_KEY is missing: make one with amo-broker keygen/m,
  )
  await refuses(
    t,
    { ...EMBEDDED, REDIS_URL: REPLICATED.REDIS_URL },
    /^REDIS_URL is set without DATABASE_URL: set both, or neither/,
  )
})

t.test('an integration is set as a whole or not at all', async (t) => {
  const names = Object.keys(AMO)
  for (const given of names) {
    const { [given]: value = '' } = AMO as Variables
    const missing = names.filter((name) => name !== given)
    const kommo = (name: string) => name.replace('AMO', 'KOMMO')
    const patterns = (of: string[]) => of.map((name) => new RegExp(`^${name} is missing: `, 'm'))
    await refuses(t, { ...EMBEDDED, [given]: value }, ...patterns(missing))
    await refuses(t, { ...EMBEDDED, [kommo(given)]: value }, ...patterns(missing.map(kommo)))
  }
  await refuses(
    t,
    { ...EMBEDDED, AMO_SANDBOX_ORIGIN: 'http://127.0.0.1:3002' },
    /^AMO_CLIENT_ID is missing/m,
    /^AMO_CLIENT_SECRET is missing/m,
    /^AMO_REDIRECT_URI is missing/m,
  )
})

t.test('a value of the wrong type or size is named with the requirement', async (t) => {
  for (const [name, schema] of Object.entries(settings.properties)) {
    if ('enum' in schema) {
      const [problem] = await problemsOf({ ...EMBEDDED, [name]: CANARY })
      t.match(problem, new RegExp(`^${name} must be .*\\b${schema.enum[0]}\\b`), 'what it may be')
      t.notMatch(problem, CANARY)
    } else if (schema.type !== 'string') {
      const type = new RegExp(`^${name} must be ${schema.type}`)
      await refuses(t, { ...EMBEDDED, [name]: CANARY }, type)
      if (schema.type === 'boolean') continue
      await refuses(t, { ...EMBEDDED, [name]: '-1' }, new RegExp(`^${name} must be >=? \\d+`))
      await refuses(t, { ...EMBEDDED, [name]: '99999999' }, new RegExp(`^${name} must be <= \\d+`))
    }
  }
})

t.test('all wrong settings are reported at once', async (t) => {
  await refuses(
    t,
    { ...EMBEDDED, INTERNAL_PORT: CANARY, REDIS_ULR: CANARY },
    /^REDIS_ULR /m,
    /^INTERNAL_PORT /m,
  )
})

t.test(
  'a malformed URL is named and not repeated, because it may contain a password',
  async (t) => {
    const starts = (name: string, protocols: string) =>
      new RegExp(`^${name} must be a URL that starts with ${protocols}`)
    for (const url of ['canary', 'mysql://amo:canary@db/amo', 'postgres:5432/canary']) {
      const postgres = 'postgres:// or postgresql://'
      await refuses(t, { ...STANDALONE, DATABASE_URL: url }, starts('DATABASE_URL', postgres))
      const direct = starts('DATABASE_DIRECT_URL', postgres)
      await refuses(t, { ...STANDALONE, DATABASE_DIRECT_URL: url }, direct)
    }
    const redis = starts('REDIS_URL', 'redis:// or rediss://')
    await refuses(t, { ...STANDALONE, REDIS_URL: 'http://canary@redis' }, redis)
    const http = (name: string) => starts(name, 'http:// or https://')
    await refuses(t, { ...EMBEDDED, PUBLIC_URL: 'canary.example' }, http('PUBLIC_URL'))
    const origin = http('AMO_SANDBOX_ORIGIN')
    await refuses(t, { ...EMBEDDED, ...AMO, AMO_SANDBOX_ORIGIN: 'canary:3002' }, origin)
    const redirect = http('AMO_REDIRECT_URI')
    await refuses(t, { ...EMBEDDED, ...AMO, AMO_REDIRECT_URI: '/canary' }, redirect)
  },
)

t.test('a password that is not percent-encoded is named as the cause', async (t) => {
  for (const name of ['DATABASE_URL', 'DATABASE_DIRECT_URL', 'REDIS_URL']) {
    const scheme = name === 'REDIS_URL' ? 'redis' : 'postgres'
    for (const password of [
      'can#ary',
      'can/ary',
      'can?ary',
      'canary#',
      '12#34',
      '12/34',
      '12?34',
    ]) {
      const url = `${scheme}://amo:${password}@canary.example:5432/app`
      const encode = new RegExp(`^${name} cannot be read: percent-encode`)
      await refuses(t, { ...REPLICATED, [name]: url }, encode)
      const encoded = `${scheme}://amo:${encodeURIComponent(password)}@canary.example:5432/app`
      await refuses(t, { ...REPLICATED, [name]: encoded })
    }
  }
})

t.test('a server URL without a host, or with several, is refused', async (t) => {
  for (const url of ['postgres:///canary', 'postgres://', 'postgres:///']) {
    await refuses(t, { ...STANDALONE, DATABASE_URL: url }, /^DATABASE_URL names no host$/)
  }
  const several = /^DATABASE_URL names several hosts, and one is supported/
  for (const hosts of ['canary1:5432,canary2:5432', 'canary1,canary2', 'canary1,canary2:5432']) {
    await refuses(t, { ...STANDALONE, DATABASE_URL: `postgres://amo:pw@${hosts}/app` }, several)
  }
  for (const url of [
    'postgresql://amo:pw@[::1]:5432/app?sslmode=require',
    'postgres://db/app',
    'postgres:///app?host=/var/run/postgresql',
  ]) {
    await refuses(t, { ...STANDALONE, DATABASE_URL: url })
  }
  await refuses(t, { ...REPLICATED, REDIS_URL: 'rediss://:pw@redis:6379/1' })
})

t.test('white space, line breaks and a BOM at the ends of a value are removed', async (t) => {
  const clean = shown(await loadConfig({ ...REPLICATED, ...AMO }))
  for (const [before, after] of [
    ['', '\n'],
    ['', '\r\n'],
    ['', '\r'],
    [' ', '  '],
    ['\ufeff', ''],
    ['\ufeff', ' \r\n'],
    ['\t', '\u00a0'],
  ]) {
    const all = Object.entries({ ...REPLICATED, ...AMO })
    const dirty = Object.fromEntries(all.map(([name, value]) => [name, before + value + after]))
    const read = await loadConfig(dirty)
    t.same(shown(read), clean)
    t.equal(read.operatorKey?.reveal(), STANDALONE.OPERATOR_KEY)
    t.equal(read.integrations[0]?.clientSecret.reveal(), AMO.AMO_CLIENT_SECRET)
  }
  await refuses(t, { ...STANDALONE, OPERATOR_KEY: ' \n' }, /^OPERATOR_KEY is missing/)
})

t.test('quotation marks at an end and control characters inside are refused', async (t) => {
  for (const [name, value] of Object.entries({ ...STANDALONE, ...AMO })) {
    for (const [before, after] of [
      ["'", "'"],
      ['"', '"'],
      ['"', ''],
      ['', "'"],
    ]) {
      const problems = await problemsOf({ ...STANDALONE, ...AMO, [name]: before + value + after })
      t.match(problems.join('\n'), new RegExp(`^${name} begins or ends with a quotation mark`, 'm'))
      t.notMatch(problems.join('\n'), CANARY)
    }
  }
  for (const character of ['\n', '\r\n', '\t', '\ufeff', '\u0000']) {
    await refuses(
      t,
      { ...EMBEDDED, ...AMO, AMO_CLIENT_SECRET: `canary${character}canary` },
      /^AMO_CLIENT_SECRET contains a line break or another control character/,
    )
  }
  await refuses(t, { ...EMBEDDED, SOMETHING_ELSE: '"canary"' })
})

t.test('plain http is accepted only for this machine and for a sandbox', async (t) => {
  const callback = '/api/v1/integrations/amo-crm/callback'
  for (const [name, url] of [
    ['PUBLIC_URL', 'http://canary.example'],
    ['AMO_REDIRECT_URI', `http://canary.example${callback}`],
    ['AMO_REDIRECT_URI', `http://127.0.0.1.canary.example${callback}`],
  ] as const) {
    // On the origin of PUBLIC_URL, so that nothing else is wrong.
    const rest = name === 'PUBLIC_URL' ? {} : AMO
    await refuses(t, { ...EMBEDDED, ...rest, [name]: url }, new RegExp(`^${name} must be https`))
  }
  for (const host of ['localhost', '127.0.0.1', '[::1]']) {
    const origin = `http://${host}:3001`
    const local = { ...AMO, PUBLIC_URL: origin, AMO_REDIRECT_URI: origin + callback }
    await refuses(t, { ...EMBEDDED, ...local })
  }
  // A sandbox has no real tokens, and runs beside the broker under docker compose.
  await refuses(t, { ...EMBEDDED, ...AMO, AMO_SANDBOX_ORIGIN: 'http://sandbox:3002' })
})

t.test('a redirect URI on another origin than PUBLIC_URL is refused', async (t) => {
  const origin = /^AMO_REDIRECT_URI must be on the origin of PUBLIC_URL/
  for (const publicUrl of [
    'https://other.example',
    'https://broker.example:8443',
    'http://localhost:3001',
  ]) {
    await refuses(t, { ...EMBEDDED, ...AMO, PUBLIC_URL: publicUrl }, origin)
  }
  await refuses(t, { ...EMBEDDED, ...AMO, PUBLIC_URL: 'https://broker.example/' })
})

t.test('ENCRYPTION_KEYS: the problem is reported without key material', async (t) => {
  const material = Buffer.alloc(32, 7).toString('base64')
  for (const [keys, problem] of [
    [material, /each key is id:base64/],
    [`:${material}`, /each key is id:base64/],
    [`k 1:${material}`, /each key is id:base64/],
    [`${material}:k1`, /each key is id:base64/],
    [`${key('k1')},`, /each key is id:base64/],
    [key('k1', 7, 16), /key k1 has 16 bytes, needed are 32/],
    [`k1:${Buffer.alloc(32, 7).toString('hex')}`, /key k1 has 48 bytes/],
    ['k1:', /key k1 has 0 bytes/],
    ['k1', /key k1 has 0 bytes/],
    [`${key('k1', 1)},${key('k1', 7)}`, /key id k1 appears twice/],
    [`${key('k1', 1)},${key('k2', 7, 31)}`, /key k2 has 31 bytes/],
    [`zero:${Buffer.alloc(32).toString('base64')}`, /key zero is not random/],
    [`same:${Buffer.alloc(32, 7).toString('base64')}`, /key same is not random/],
    [`word:${Buffer.alloc(32, 'password').toString('base64')}`, /key word is not random/],
  ] as const) {
    const problems = await problemsOf({ ENCRYPTION_KEYS: keys })
    t.equal(problems.length, 1, problems.join())
    t.match(problems[0], /^ENCRYPTION_KEYS is malformed: /)
    t.match(problems[0], problem)
    t.notMatch(problems[0], /BwcH|BwgJ|0707|cGFzc3dv/, 'no key material')
  }
  const { keyRing } = await loadConfig({ ENCRYPTION_KEYS: `${key('new', 1)}, ${key('old', 2)}` })
  t.same(keyRing.keyIds, ['new', 'old'])
})

t.test('OPERATOR_KEY: a short one is refused', async (t) => {
  await refuses(
    t,
    { ...STANDALONE, OPERATOR_KEY: 'canary' },
    /^OPERATOR_KEY must have at least 24 characters: make one with amo-broker keygen/,
  )
})

t.test('OPERATOR_KEY: one that is not random is refused', async (t) => {
  for (const key of ['a'.repeat(64), 'secret'.repeat(5), '0101'.repeat(10)]) {
    await refuses(t, { ...STANDALONE, OPERATOR_KEY: key }, /^OPERATOR_KEY is not random: make one/)
  }
})

t.test('NODE_TLS_REJECT_UNAUTHORIZED=0 is refused', async (t) => {
  const text = /^NODE_TLS_REJECT_UNAUTHORIZED=0 switches off all checks of certificates/
  await refuses(t, { ...STANDALONE, NODE_TLS_REJECT_UNAUTHORIZED: '0' }, text)
  await loadConfig({ ...STANDALONE, NODE_TLS_REJECT_UNAUTHORIZED: '1' })
})

t.test('connections that others on the way can read are named', async (t) => {
  const found = async (settings: Record<string, string>) =>
    findWeaknesses(await loadConfig({ ...STANDALONE, ...settings })).map((each) => each.found)
  for (const safe of [
    'postgres://user:canary@localhost/db',
    'postgres://user:canary@127.0.0.1/db',
    'postgres://user:canary@[::1]/db',
    'postgres:///canary?host=/var/run/postgresql',
    'postgres://user:canary@db.example.com/db?sslmode=verify-full',
    'postgres://user:canary@db.example.com/db?sslmode=require',
  ]) {
    t.same(await found({ DATABASE_URL: safe }), [], safe)
  }
  for (const [url, text] of [
    ['postgres://user:canary@db.example.com/db', /^DATABASE_URL: .*db.example.com may be unenc/],
    ['postgres://user:canary@db/db?sslmode=no-verify', /^DATABASE_URL: .* db is not checked/],
  ] as const) {
    const [first = '', ...others] = await found({ DATABASE_URL: url })
    t.match(first, text)
    t.same(others, [], 'DATABASE_DIRECT_URL is the same')
    t.notMatch(first, /canary/)
  }
  const local = { DATABASE_URL: 'postgres://user:canary@localhost/db' }
  t.same(await found({ ...local, REDIS_URL: 'redis://:canary@localhost:6379' }), [])
  t.same(await found({ ...local, REDIS_URL: 'rediss://:canary@redis.example.com' }), [])
  const [redis = ''] = await found({ ...local, REDIS_URL: 'redis://:canary@redis.example.com' })
  t.match(redis, /^REDIS_URL: the connection to redis.example.com is not encrypted/)
  const cluster = 'redis+cluster://:canary@127.0.0.1:1,10.0.0.7:2'
  t.match(await found({ ...local, REDIS_URL: cluster }), [/10.0.0.7 is not encrypted/])
  const encrypted = cluster.replace('redis+', 'rediss+')
  t.same(await found({ ...local, REDIS_URL: encrypted }), [])
})

t.test('a misspelt setting is named with the right one', async (t) => {
  for (const [name, right] of [
    ['DATABASE_ULR', 'DATABASE_URL'],
    ['DATABASEURL', 'DATABASE_URL'],
    ['database_url', 'DATABASE_URL'],
    ['AMO_CLIENTID', 'AMO_CLIENT_ID'],
    ['KOMO_CLIENT_SECRET', 'KOMMO_CLIENT_SECRET'],
    ['REDIS_URI', 'REDIS_URL'],
    ['ENCRYPTION_KEY', 'ENCRYPTION_KEYS'],
    ['LOGLEVEL', 'LOG_LEVEL'],
    ['DATADIR', 'DATA_DIR'],
    ['PUBLIC_ULR', 'PUBLIC_URL'],
  ]) {
    const named = new RegExp(`^${name} is not a setting: did you mean ${right}\\?$`)
    await refuses(t, { ...EMBEDDED, [name as string]: CANARY }, named)
  }
})

t.test('variables of other programs do not count as misspelt settings', async (t) => {
  const names = `PATH HOME LANG LC_ALL TZ PWD OLDPWD SHLVL SHELL USER LOGNAME TERM COLORTERM HOSTNAME HOST
    PORT DISPLAY EDITOR TMPDIR XDG_DATA_DIRS XDG_DATA_HOME SSH_AUTH_SOCK LS_COLORS _ CI DEBUG NO_COLOR
    FORCE_COLOR HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy SSL_CERT_FILE NODE_ENV NODE_OPTIONS NODE_VERSION
    NODE_PATH NODE_EXTRA_CA_CERTS YARN_VERSION INIT_CWD npm_lifecycle_event npm_config_cache npm_package_name
    PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGDATA PGSSLMODE POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB
    POSTGRES_HOST POSTGRES_PORT POSTGRES_URL DATABASE_HOST DATABASE_PORT DATABASE_USER DATABASE_NAME
    DATABASE_PASSWORD REDIS_HOST REDIS_PORT REDIS_PASSWORD REDIS_TLS_URL REDIS_SERVICE_HOST
    REDIS_SERVICE_PORT REDIS_PORT_6379_TCP REDIS_PORT_6379_TCP_ADDR REDIS_PORT_6379_TCP_PROTO
    KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_PORT KUBERNETES_PORT_443_TCP POD_NAME POD_IP
    NODE_NAME NAMESPACE JOURNAL_STREAM INVOCATION_ID LISTEN_FDS TEST_DATABASE_URL TEST_REDIS_URL AWS_REGION
    OTEL_EXPORTER_OTLP_ENDPOINT SENTRY_DSN DYNO RAILWAY_ENVIRONMENT LOG_FORMAT LOG_FILE DATA_PATH APP_ENV`
  const others = Object.fromEntries(names.split(/\s+/).map((name) => [name, CANARY]))
  await refuses(t, { ...EMBEDDED, ...others })
  const here = Object.entries(process.env).filter(([name]) => !(name in settings.properties))
  await refuses(t, { ...EMBEDDED, ...(Object.fromEntries(here) as Variables) })
})

t.test('the sandbox’s settings may stand in the same .env', async (t) => {
  const source = readFileSync(new URL('../src/sandbox/command-line.ts', import.meta.url), 'utf8')
  const names = new Set(source.match(/\bSANDBOX_[A-Z_]+\b/g))
  t.ok(names.size > 5, 'src/sandbox/command-line.ts names its settings')
  const others = [...names].filter((name) => !(name in settings.properties))
  await refuses(t, { ...EMBEDDED, ...Object.fromEntries(others.map((name) => [name, '1'])) })
})

t.test('an empty variable counts as absent', async (t) => {
  const names = Object.keys(settings.properties)
  const empty = Object.fromEntries(names.map((name) => [name, '']))
  t.same(shown(await loadConfig({ ...empty, ...EMBEDDED })), shown(await loadConfig(EMBEDDED)))
  await refuses(t, { ...empty }, /^ENCRYPTION_KEYS is missing/)
  await refuses(t, { ...STANDALONE, OPERATOR_KEY: '' }, /^OPERATOR_KEY is missing/)
  const { mode } = await loadConfig({ ...REPLICATED, REDIS_URL: '' })
  t.equal(mode, 'standalone')
})

/** Returns a Config without the objects that are created anew each time. */
function shown({ keyRing, ...rest }: Config) {
  return { ...rest, keyIds: keyRing.keyIds }
}

t.test('the storage settings determine the mode', async (t) => {
  const embedded = await loadConfig(EMBEDDED)
  t.match(shown(embedded), {
    mode: 'embedded',
    databaseUrl: null,
    redisUrl: null,
    operatorKey: null,
    deploymentId: 'embedded',
  })
  const standalone = await loadConfig(STANDALONE)
  t.match(shown(standalone), { mode: 'standalone', redisUrl: null, deploymentId: 'test' })
  t.equal(standalone.databaseUrl?.reveal(), STANDALONE.DATABASE_URL)
  t.equal(standalone.databaseDirectUrl?.reveal(), STANDALONE.DATABASE_URL, 'when not set apart')
  const replicated = await loadConfig({ ...REPLICATED, DATABASE_DIRECT_URL: 'postgres://direct/x' })
  t.equal(replicated.mode, 'replicated')
  t.equal(replicated.redisUrl?.reveal(), REPLICATED.REDIS_URL)
  t.equal(replicated.databaseDirectUrl?.reveal(), 'postgres://direct/x')
})

t.test('the defaults match the documentation', async (t) => {
  t.match(shown(await loadConfig(EMBEDDED)), {
    dataDir: './data',
    internal: { host: '127.0.0.1', port: 3000 },
    public: { host: '127.0.0.1', port: 3001 },
    publicUrl: null,
    trustProxy: false,
    integrations: [],
    sendLimitMs: 30_000,
    lingerMs: 300_000,
    settleMs: 60_000,
    readWaitMs: 1_500,
    heartbeatMs: 3_000,
    pacePerSecond: 2,
    logLevel: 'info',
  })
})

t.test('TRUST_PROXY: a number of proxies or their addresses, never all', async (t) => {
  for (const [text, expected] of [
    ['false', false],
    ['true', 1],
    ['2', 2],
    ['10.0.0.0/8, 192.168.1.7,fd00::/8', ['10.0.0.0/8', '192.168.1.7', 'fd00::/8']],
  ] as const) {
    t.same((await loadConfig({ ...EMBEDDED, TRUST_PROXY: text })).trustProxy, expected)
  }
  for (const text of [CANARY, '0', '10', '10.0.0.0/33', '10.0.0.0/8/8', '*', 'true,false']) {
    await refuses(t, { ...EMBEDDED, TRUST_PROXY: text }, /^TRUST_PROXY must be /)
  }
})

t.test('INTERNAL_TLS_…: both files, and PEM', async (t) => {
  const here = import.meta.filename
  await refuses(t, { ...EMBEDDED, INTERNAL_TLS_CERT: here }, /^INTERNAL_TLS_CERT and /)
  await refuses(t, { ...EMBEDDED, INTERNAL_TLS_CLIENT_CA: here }, /^INTERNAL_TLS_CERT and /)
  await refuses(
    t,
    { ...EMBEDDED, INTERNAL_TLS_CERT: '/canary', INTERNAL_TLS_KEY: '/dev/null' },
    /^INTERNAL_TLS_CERT names a file that cannot be read: ENOENT$/m,
    /^INTERNAL_TLS_KEY names a file that is no PEM$/m,
  )
})

t.test('a config prints none of its secrets', async (t) => {
  const config = await loadConfig({ ...REPLICATED, ...AMO })
  t.equal(config.integrations[0]?.clientSecret.reveal(), AMO.AMO_CLIENT_SECRET)
  const printed = JSON.stringify({ ...config, integrations: config.integrations })
  t.notMatch(printed.replaceAll('"canary-id"', ''), /canary|BwcH/)
})

t.test('.env.example', async (t) => {
  const file = new URL('../.env.example', import.meta.url)
  const example = readFileSync(file, 'utf8')
  const lines = [...example.matchAll(/^(# )?([A-Z][A-Z0-9_]*)=(.*)$/gm)]

  await t.test('lists every setting once, and nothing else', async (t) => {
    const names = lines.map(([, , name]) => name)
    const expected = [...Object.keys(settings.properties), ...COMPOSE_ONLY]
    t.same(names.toSorted(), expected.toSorted())
  })

  await t.test('a commented line shows the default', async (t) => {
    const commented = lines.filter(([, comment]) => comment !== undefined)
    for (const [, , name = '', value] of commented) {
      if (COMPOSE_ONLY.includes(name)) continue
      const { [name]: schema } = settings.properties as Record<string, { default?: unknown }>
      t.equal(value, String(schema?.default), name)
    }
  })

  await t.test(
    'unchanged, it lacks only ENCRYPTION_KEYS; commented lines change nothing',
    async (t) => {
      const asItIs = parseEnv(example) as Variables
      await refuses(t, asItIs, /^ENCRYPTION_KEYS is missing/)
      const opened = parseEnv(example.replace(/^# (?=[A-Z][A-Z0-9_]*=)/gm, '')) as Variables
      t.same(
        shown(await loadConfig({ ...opened, ...EMBEDDED })),
        shown(await loadConfig({ ...asItIs, ...EMBEDDED })),
      )
    },
  )

  await t.test(
    'docker-compose.yml passes on every setting that the image does not set',
    async (t) => {
      const compose = readFileSync('docker-compose.yml', 'utf8')
      const missing = Object.keys(settings.properties).filter(
        (name) => !compose.includes(`    ${name}: \${${name}:-`),
      )
      t.same(missing.toSorted(), [...OF_THE_IMAGE, 'SANDBOX_PORT'].toSorted())
    },
  )
})

t.test('a cache larger than the heap allows is refused at the start', async (t) => {
  const mib = 2 ** 20
  for (const [accounts, heapMib, fits] of [
    [10_000, 512, true],
    [65_536, 512, true],
    [65_537, 512, false],
    [0, 1, true],
  ] as const) {
    const problems: string[] = []
    checkCache(accounts, heapMib * mib, problems)
    t.equal(problems.length === 0, fits, problems[0] ?? 'it fits')
  }
  const env = { ...EMBEDDED, CACHE_ACCOUNTS: '100000', NODE_OPTIONS: '--max-old-space-size=256' }
  const { code, stderr } = await startsAndEnds({ ...env, DATA_DIR: t.testdir() })
  t.equal(code, 1)
  t.match(stderr, /CACHE_ACCOUNTS=100000 needs a heap of 782 MB.*--max-old-space-size/)
})

t.test('--help lists the options', async (t) => {
  const child = spawn(process.execPath, ['src/main.ts', '--help'], {
    env: { PATH: process.env.PATH },
  })
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  t.equal(code, 0)
  t.match(out, /--hold/)
})
