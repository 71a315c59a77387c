import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t from 'tap'
import { type AreaFinding, diagnose as runDoctor } from '../src/doctor/diagnose.ts'
import { deploymentOf, ENCRYPTION_KEYS, OPERATOR_KEY, startBroker } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { runCli } from './support/cli.ts'
import { createDatabase, createEmptyDatabase, query, redisUrl } from './support/database.ts'
import { moveRedirectUri } from './support/integrations.ts'
import { newKey } from './support/keys.ts'
import { findPgBouncer, startPgBouncer } from './support/pgbouncer.ts'
import { RedisServer } from './torture/redis-server.ts'

const DATA = mkdtempSync(join(tmpdir(), 'amo-test-'))
t.teardown(() => rmSync(DATA, { recursive: true, force: true }))

interface Diagnosis {
  findings: AreaFinding[]
  /** Returns the findings of one area. */
  of(area: string): AreaFinding[]
}

/** Returns the settings of a broker on this database. */
function settingsFor(databaseUrl: string, env: Record<string, string> = {}) {
  return {
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: deploymentOf(databaseUrl),
    DATA_DIR: DATA,
    ENCRYPTION_KEYS,
    OPERATOR_KEY,
    ...env,
  }
}

function doctor(databaseUrl: string, env: Record<string, string>, ...args: string[]) {
  return runCli(['doctor', ...args], settingsFor(databaseUrl, env))
}

/** Returns the findings of `amo-broker doctor` without starting a process. */
async function diagnose(databaseUrl: string, env: Record<string, string> = {}): Promise<Diagnosis> {
  const findings = await Array.fromAsync(runDoctor(settingsFor(databaseUrl, env)))
  return { findings, of: (area) => findings.filter((each) => each.area === area) }
}

t.test('doctor', { buffered: true }, async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, databaseUrl, sandbox } = stage
  const replicated = { REDIS_URL: redisUrl(), DATA_DIR: broker.dataDir }

  await t.test(
    'a healthy installation: exit code 0, every area checked, no secret shown',
    async (t) => {
      const { code, out } = await doctor(databaseUrl, replicated, '--json')
      const { ok, findings }: { ok: boolean; findings: AreaFinding[] } = JSON.parse(out)
      t.same(
        findings.filter(({ verdict }) => verdict === 'fail'),
        [],
      )
      t.same({ code, ok }, { code: 0, ok: true })
      t.same(
        [...new Set(findings.map(({ area }) => area))],
        [
          'settings',
          'data dir',
          'redis',
          'database',
          'replication',
          'pooler',
          'schema',
          'keys',
          'integrations',
          'redirect URIs',
          'load',
          'provider',
        ],
      )
      const text = JSON.stringify(findings)
      t.match(text, /amocrm: 1 accounts in use, 0 idle/)
      t.match(text, /callback leads to a broker/)
      for (const secret of [ENCRYPTION_KEYS.slice(5), OPERATOR_KEY, 'canary', 'eyJ', 'def502']) {
        t.notOk(text.includes(secret))
      }
      t.same(
        sandbox.world.books.totals.tokenCalls,
        1,
        'the code that was exchanged, and nothing else',
      )
    },
  )

  await t.test('text output: one line each, with the remedy below', async (t) => {
    const elsewhere = { DEPLOYMENT_ID: 'elsewhere' }
    const { code, out } = await doctor(databaseUrl, elsewhere)
    t.equal(code, 0)
    t.match(out, /^OK {4}settings .*mode standalone, deployment "elsewhere"/)
    t.match(out, /\nWARN {2}schema +bound to ".*\n +→ Correct DEPLOYMENT_ID/)
    t.match(await doctor(databaseUrl, elsewhere, '--strict'), { code: 1 }, 'a warning is too much')
  })

  await t.test('settings: each wrong one is named, and nothing else is checked', async (t) => {
    const wrong = { HEARTBEAT_MS: 'canary', REDIS_URL: 'canary' }
    t.match(await doctor(databaseUrl, wrong), { code: 1, out: /^FAIL {2}settings +HEARTBEAT_MS/ })
    const { findings } = await diagnose(databaseUrl, wrong)
    t.ok(findings.every(({ area, verdict }) => area === 'settings' && verdict === 'fail'))
    t.match(JSON.stringify(findings), /HEARTBEAT_MS must be/)
    t.notMatch(JSON.stringify(findings), 'canary')
    const open = await diagnose(databaseUrl, { INTERNAL_HOST: '0.0.0.0', HOLD_SENDS: 'true' })
    t.match(open.of('settings'), [{}, {}, { found: /HOLD_SENDS/ }, { found: /plain http/ }])
  })

  await t.test('database: unreachable, empty, unsafe, a lagging standby', async (t) => {
    const away = await diagnose('postgres://u:canary-password@127.0.0.1:1/x')
    t.match(away.of('database'), [
      { verdict: 'fail', found: /ECONNREFUSED/, remedy: /DATABASE_URL/ },
    ])
    t.notMatch(JSON.stringify(away.findings), 'canary')
    const empty = await diagnose(await createEmptyDatabase(t))
    t.match(empty.of('schema'), [{ verdict: 'fail', remedy: /amo-broker migrate/ }])
    t.same(empty.of('keys'), [], 'nothing is looked for in tables that are not there')

    // A view that shadows PostgreSQL's own simulates each kind of standby.
    const shadowed = await createDatabase(t)
    await query(
      shadowed,
      `alter database ${deploymentOf(shadowed)} set search_path = public, pg_catalog`,
    )
    const standby = (kind: string | null) =>
      query(
        shadowed,
        `create or replace view public.pg_stat_replication as
         select -1 as pid, 'standby-1' as application_name, ${kind === null ? 'null' : `'${kind}'`}::text as sync_state`,
      )
    for (const [kind, verdict, found] of [
      ['async', 'warn', /only asynchronous standbys: standby-1.*lose committed token pairs/],
      ['quorum', 'ok', /synchronous standby receives every commit/],
      [null, 'warn', /may not see whether the standbys/],
    ] as const) {
      await standby(kind)
      t.match((await diagnose(shadowed)).of('replication'), [{ verdict, found }])
    }
  })

  await t.test('redis: unreachable, and one that evicts keys', async (t) => {
    const away = await diagnose(databaseUrl, { REDIS_URL: 'redis://:canary@127.0.0.1:1' })
    t.match(away.of('redis'), [{ verdict: 'fail', found: 'no connection', remedy: /REDIS_URL/ }])
    const server = await RedisServer.start(t)
    const redis = new Redis(server.url)
    await redis.config('SET', 'maxmemory', '10mb')
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
    redis.disconnect()
    t.match((await diagnose(databaseUrl, { REDIS_URL: server.url })).of('redis'), [
      { verdict: 'ok' },
      { verdict: 'warn', found: /allkeys-lru/, remedy: /noeviction/ },
      { verdict: 'ok', found: /persistence: none/ },
    ])
  })

  await t.test('keys: missing keys in use, old keys in use', async (t) => {
    const gone = await diagnose(databaseUrl, { ENCRYPTION_KEYS: newKey('other') })
    t.match(gone.of('keys'), [{ verdict: 'fail', found: /key "test" sealed \d+ values/ }, {}])
    t.match(gone.of('integrations'), [
      { verdict: 'fail', found: /client secret cannot be decrypted/ },
    ])
    const added = await diagnose(databaseUrl, {
      ENCRYPTION_KEYS: `${newKey('other')},${ENCRYPTION_KEYS}`,
    })
    t.match(added.of('keys'), [{ verdict: 'ok' }, { verdict: 'warn', remedy: /reseal/ }])
  })

  await t.test(
    'integrations, redirect URIs, load, provider: each problem is reported',
    async (t) => {
      await broker.post('/integrations/amocrm/pause', undefined)
      await query(
        databaseUrl,
        `update amo_integrations set "lastErrorCode" = 'redirect_uri_mismatch', "pacePerSecond" = 0.00001`,
      )
      await moveRedirectUri(databaseUrl, 'http://127.0.0.1:1/callback')
      await query(databaseUrl, `update amo_tokens set status = 'reauth_required'`)
      const sick = await diagnose(databaseUrl)
      t.match(sick.of('integrations'), [
        { verdict: 'warn', found: /paused by operator/, remedy: /integrations resume amocrm/ },
        { verdict: 'fail', found: /redirect URI is not/, remedy: /AMO_REDIRECT_URI/ },
      ])
      t.match(sick.of('redirect URIs'), [{ verdict: 'warn', found: /cannot be reached/ }])
      t.match(sick.of('load'), [{ verdict: 'ok' }, { verdict: 'warn', remedy: /reauth_required/ }])
      await query(
        databaseUrl,
        `update amo_tokens set status = 'active', "nextAttemptAt" = now() - interval '1 hour'`,
      )
      t.match((await diagnose(databaseUrl)).of('load'), [
        { verdict: 'fail', found: /% of the pace/, remedy: /PACE_PER_SECOND/ },
        { verdict: 'warn', found: /due for 60 minutes/ },
      ])
      await sandbox.close()
      t.match((await diagnose(databaseUrl)).of('provider'), [
        { verdict: 'fail', found: /cannot be reached \(ECONNREFUSED\)/, remedy: /firewall/ },
      ])
      await query(databaseUrl, `update amo_integrations set "clientId" = 'another'`)
      const altered = JSON.stringify((await diagnose(databaseUrl)).of('integrations'))
      t.match(
        altered,
        /amocrm was altered in the database: nothing is sent.*the settings that it had/,
      )
    },
  )

  const bouncer = findPgBouncer()
  const skip = bouncer === undefined && 'pgbouncer is not installed: apt-get install pgbouncer'
  await t.test(
    'pooler: a transaction pooler without DATABASE_DIRECT_URL fails',
    { skip },
    async (t) => {
      if (bouncer === undefined) return
      const through = {
        session: await startPgBouncer(t, bouncer, databaseUrl, 'session'),
        transaction: await startPgBouncer(t, bouncer, databaseUrl, 'transaction'),
      }
      const pooler = async (url: string, direct?: string) =>
        (await diagnose(url, direct === undefined ? {} : { DATABASE_DIRECT_URL: direct })).of(
          'pooler',
        )
      t.match(await pooler(databaseUrl), [{ verdict: 'ok', found: 'no pooler' }])
      t.match(await pooler(through.transaction), [
        {
          verdict: 'fail',
          found: /DATABASE_DIRECT_URL is not set/,
          remedy: /Set DATABASE_DIRECT_URL/,
        },
      ])
      t.match(await pooler(through.transaction, databaseUrl), [{ verdict: 'ok', found: /past it/ }])
      t.match(await pooler(through.transaction, through.transaction), [{ verdict: 'fail' }])
      t.match(await pooler(through.session), [{ verdict: 'warn', found: /session pooler/ }])
    },
  )
})

t.test('doctor on embedded storage: with and without a running broker', async (t) => {
  const broker = await startBroker(t, {})
  const env = { ENCRYPTION_KEYS, DATA_DIR: broker.dataDir }
  const beside = await runCli(['doctor'], env)
  t.match(beside, { code: 0, out: /WARN {2}database +the embedded storage is in use by a running/ })
  await broker.stop()
  const alone = await runCli(['doctor'], { ...env, HTTPS_PROXY: 'http://proxy:3128' })
  t.match(alone, { code: 1, out: /OK {4}database +embedded storage opens/ })
  t.match(alone.out, /WARN {2}settings +HTTPS_PROXY is set and not used/)
  t.match(alone.out, /FAIL {2}provider +amocrm: http:\/\/127\.0\.0\.1:1 cannot be reached/)
})
