import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { ConfigError } from '../src/config/checks.ts'
import { connectionSettings } from '../src/config/connection-settings.ts'
import { loadConfig } from '../src/config/load-config.ts'
import { parseRedisUrl } from '../src/config/redis-url.ts'
import { Secret } from '../src/vault/secret.ts'
import { ENCRYPTION_KEYS, OPERATOR_KEY } from './support/broker.ts'

const GOOD = { ENCRYPTION_KEYS, OPERATOR_KEY, DEPLOYMENT_ID: 'test' }

async function problemsOf(variables: NodeJS.ProcessEnv): Promise<readonly string[]> {
  return loadConfig({ ...GOOD, ...variables }).then(
    () => [],
    ({ problems }: ConfigError) => problems,
  )
}

t.test('*_FILE: a secret setting from a file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'amo-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'secret')
  writeFileSync(file, `${OPERATOR_KEY}\n`)
  const { OPERATOR_KEY: _key, ...others } = GOOD
  const config = await loadConfig({ ...others, OPERATOR_KEY_FILE: file })
  t.equal(config.operatorKey?.reveal(), OPERATOR_KEY, 'without the line break')
  t.match(await problemsOf({ OPERATOR_KEY_FILE: file }), [/OPERATOR_KEY_FILE are both set/])
  t.match(await problemsOf({ DATABASE_URL_FILE: join(folder, 'none') }), [
    /DATABASE_URL_FILE names a file that cannot be read: ENOENT/,
  ])
  for (const name of ['REDIS_URL', 'DATABASE_DIRECT_URL', 'AMO_CLIENT_SECRET', 'ENCRYPTION_KEYS']) {
    const problems = await problemsOf({ [name]: 'x', [`${name}_FILE`]: file })
    t.match(problems.join(), `${name} and ${name}_FILE are both set`)
  }
  t.match((await problemsOf({ LOG_LEVEL_FILE: file })).join(), '', 'only secrets')
})

t.test('sslmode means what it means to libpq', async (t) => {
  const of = (query: string) => connectionSettings(new Secret(`postgres://u:p@h/d${query}`))
  t.equal(of('').ssl, false)
  t.equal(of('?sslmode=disable').ssl, false)
  t.match(of('?sslmode=require').ssl, { rejectUnauthorized: false })
  t.match(of('?sslmode=require&sslrootcert=package.json').ssl, { rejectUnauthorized: true })
  const ca = of('?sslmode=verify-ca&sslrootcert=package.json').ssl
  t.match(ca, { rejectUnauthorized: true, ca: String })
  t.equal(ca && typeof ca.checkServerIdentity, 'function', 'any host name')
  const full = of('?sslmode=verify-full').ssl
  t.match(full, { rejectUnauthorized: true })
  t.equal(full && typeof full.checkServerIdentity, 'undefined', 'the host name is checked')
  t.equal(of('?sslmode=require&options=x').connectionString, 'postgres://u:p@h/d?options=x')
  for (const [query, problem] of [
    ['sslmode=prefer', /plain text.*write \?sslmode=disable, require/],
    ['sslmode=allow', /plain text/],
    ['sslmode=requires', /does not exist/],
    ['ssl=maybe', /not supported/],
    ['sslmode=verify-full&sslrootcert=/none', /sslrootcert that cannot be read: ENOENT/],
  ] as const) {
    const problems = await problemsOf({ DATABASE_URL: `postgres://u:p@h/d?${query}` })
    t.match(problems.join(), problem, query)
  }
})

t.test('socket URLs are accepted', async (t) => {
  for (const url of [
    'postgres://user@/db?host=/run/postgresql',
    'postgres:///db?host=/run/postgresql',
    'postgres://user:p@%2Frun%2Fpostgresql/db',
  ]) {
    t.same(await problemsOf({ DATABASE_URL: url }), [], url)
  }
  t.match((await problemsOf({ DATABASE_URL: 'postgres://user@/db' })).join(), /names no host/)
})

t.test('URLs of Redis, Sentinel and Cluster', async (t) => {
  t.match(parseRedisUrl('redis://u:p%40@h/3'), {
    kind: 'single',
    addresses: [{ host: 'h', port: 6379 }],
    username: 'u',
    password: 'p@',
    db: 3,
  })
  t.match(parseRedisUrl('rediss+sentinel://:p@a,b:1/main/2?sentinel_password=s'), {
    kind: 'sentinel',
    isTls: true,
    addresses: [
      { host: 'a', port: 26_379 },
      { host: 'b', port: 1 },
    ],
    primary: 'main',
    password: 'p',
    sentinelPassword: 's',
    db: 2,
  })
  t.match(parseRedisUrl('redis+cluster://[::1]:7000,b'), {
    kind: 'cluster',
    addresses: [
      { host: '::1', port: 7000 },
      { host: 'b', port: 6379 },
    ],
  })
  const database = { DATABASE_URL: 'postgres://u:p@h/d' }
  const problem = async (REDIS_URL: string) => (await problemsOf({ ...database, REDIS_URL })).join()
  t.equal(await problem('redis+sentinel://a:26379,b:26379/main'), '')
  t.equal(await problem('redis+cluster://a:7000,b:7000'), '')
  t.match(await problem('redis+sentinel://a:26379,b:26379'), /names no primary/)
  t.match(await problem('redis+cluster://a:7000/1'), /only 0/)
  t.match(await problem('redis://a,b'), /several hosts/)
})
