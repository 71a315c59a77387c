import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { SEALED_COLUMNS } from '../src/vault/sealed-places.ts'
import {
  connectAccount,
  OPERATOR_KEY,
  startBroker,
  startSandbox,
  type TestBroker,
  until,
} from './support/broker.ts'
import { assertPresentedOnce } from './support/broker-with-sandbox.ts'
import { makeDataDir } from './support/data-dir.ts'
import { createDatabase, redisUrl } from './support/database.ts'
import { makeEndpoint } from './support/endpoints.ts'
import { newKey, reseal, sealedUnder } from './support/keys.ts'
import { freePorts } from './support/ports.ts'

const OLD = newKey('old')
const NEW = newKey('new')

function spoolOf(dataDir: string): string[] {
  const folder = join(dataDir, 'spool')
  const files = readdirSync(folder).filter((name) => name.endsWith('.kept'))
  return files.map((name) => readFileSync(join(folder, name), 'utf8'))
}

async function copiesOf(t: Test, deploymentId: string): Promise<string[]> {
  const redis = new Redis(redisUrl())
  t.teardown(() => redis.disconnect())
  const keys = await redis.keys(`{amo:${deploymentId}:kept}:*`)
  return (await Promise.all(keys.map((key) => redis.hvals(key)))).flat()
}

t.test(
  'key rotation under 200 callers: no request fails, and no value stays under the old key',
  async (t) => {
    const databaseUrl = await createDatabase(t)
    const deploymentId = new URL(databaseUrl).pathname.slice(1)
    const [a = 0, aOpen = 0, b = 0, bOpen = 0] = await freePorts(4)
    const sandbox = await startSandbox(t, { publicPort: aOpen, accessTtlSeconds: 30 })
    const replicas = [
      { ports: [a, aOpen] as [number, number], dataDir: makeDataDir(t) },
      { ports: [b, bOpen] as [number, number], dataDir: makeDataDir(t) },
    ]
    const redirect = `http://127.0.0.1:${aOpen}/api/v1/integrations/amo-crm/callback`
    const start = (index: number, keys: string) =>
      startBroker(t, {
        ownProcess: true,
        databaseUrl,
        sandbox,
        ports: replicas[index]?.ports ?? [0, 0],
        dataDir: replicas[index]?.dataDir ?? '',
        env: { ENCRYPTION_KEYS: keys, AMO_REDIRECT_URI: redirect, LOG_LEVEL: 'info' },
      })
    const running = [await start(0, OLD), await start(1, OLD)]
    await connectAccount(running[0] as TestBroker)
    await broken(running[0] as TestBroker)
    const hook = { name: 'hook', url: 'https://8.8.8.8/hook', types: ['endpoint.test'] }
    await makeEndpoint(running[0] as TestBroker, hook)
    await (running[0] as TestBroker).post('/endpoints/hook/rotate-secret', {})

    const inService = new Set([0, 1])
    const underWay = [0, 0]
    const counts = { ok: 0, failed: [] as string[] }
    let isOver = false
    const callers = Array.from({ length: 200 }, async (_, caller) => {
      await delay(caller * 3)
      for (let asked = 0; !isOver; asked += 1) {
        const all = [...inService]
        const index = all[(caller + asked) % all.length] ?? 0
        underWay[index] = (underWay[index] ?? 0) + 1
        try {
          const { status, body } = await (running[index] as TestBroker).get('/tokens/demo')
          if (status === 200) counts.ok += 1
          else counts.failed.push(`${status} ${body.code}`)
        } catch (error) {
          counts.failed.push(String((error as Error).cause))
        }
        underWay[index] = (underWay[index] ?? 0) - 1
        await delay(600)
      }
    })
    /** Restarts like behind a load balancer: removed, drained, restarted, added again. */
    const restart = async (index: number, keys: string) => {
      inService.delete(index)
      await until(() => underWay[index] === 0, 30_000)
      await running[index]?.stop()
      running[index] = await start(index, keys)
      inService.add(index)
    }
    for (const keys of [`${OLD},${NEW}`, `${NEW},${OLD}`]) {
      await restart(0, keys)
      await restart(1, keys)
    }
    const env = {
      ENCRYPTION_KEYS: `${NEW},${OLD}`,
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl(),
      DEPLOYMENT_ID: deploymentId,
      OPERATOR_KEY,
      DATA_DIR: replicas[0]?.dataDir ?? '',
    }
    const done = await reseal(env)
    t.equal(done.code, 0, done.out + done.err)
    t.match(done.out, /^key "old": 0 values; no longer in use/m)
    await until(
      () => running.every((each) => /encryption key is no longer in use/.test(each.log())),
      30_000,
    )
    // A fast machine does all this within the life of one token.
    await until(() => sandbox.world.books.totals.refreshes > 0, 30_000)
    await restart(0, NEW)
    await restart(1, NEW)
    await delay(1_000)
    isOver = true
    await Promise.all(callers)

    t.same(counts.failed, [], 'every request got its token')
    t.ok(counts.ok > 1_000, `${counts.ok} requests`)
    t.same(await sealedUnder(databaseUrl, 'old'), [])
    const known = SEALED_COLUMNS.flatMap(({ table, columns }) =>
      columns.map((each) => `${table}.${each}`),
    )
    const sealed = new Set(await sealedUnder(databaseUrl, 'new'))
    for (const place of sealed) t.ok(known.includes(place), `${place} is in SEALED_COLUMNS`)
    t.ok(sealed.has('amo_tokens.refreshToken') && sealed.has('amo_deployment.rootSecret'))
    for (const column of ['target', 'signingSecret', 'previousSecret']) {
      t.ok(sealed.has(`amo_endpoints.${column}`), column)
    }
    const kept = [
      ...replicas.flatMap(({ dataDir }) => spoolOf(dataDir)),
      ...(await copiesOf(t, deploymentId)),
    ]
    t.ok(kept.length > 0, 'answers are kept')
    for (const each of kept) t.match(each, /^new\./)
    t.ok(sandbox.world.books.totals.refreshes > 0, 'it was refreshed all the while')
    assertPresentedOnce(t, { sandbox })
  },
)

/** Stores a code that cannot be exchanged, which stays sealed in the inbox for a while. */
async function broken(broker: TestBroker): Promise<void> {
  const { body } = await broker.post('/connect-links', { integration: 'amocrm' })
  const opened = await fetch(body.url, { redirect: 'manual' })
  const state = new URL(opened.headers.get('location') ?? '').searchParams.get('state')
  const cookie = opened.headers
    .getSetCookie()
    .map((each) => each.split(';')[0] ?? '')
    .join('; ')
  const url = new URL('/api/v1/integrations/amo-crm/callback', body.url)
  url.search = String(
    new URLSearchParams({ code: 'def502', state: state ?? '', referer: 'demo.amocrm.ru' }),
  )
  await fetch(url, { redirect: 'manual', headers: { cookie } })
}
