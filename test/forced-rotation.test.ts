import t, { type Test } from 'tap'
import {
  connectAccount,
  startBroker,
  startSandbox,
  type TestBroker,
  until,
} from './support/broker.ts'
import { createDatabase, query, setReadOnly } from './support/database.ts'
import { freePorts } from './support/ports.ts'

const HEARTBEAT_MS = 1_500
const FORCE = { force: true }

interface Stage {
  first: TestBroker
  /** Runs in its own process, so that it can be stopped. */
  second: TestBroker
  databaseUrl: string
  /** Forces a rotation at the first replica, and returns the milliseconds and the generation. */
  force(): Promise<{ tookMs: number; generation: number }>
}

/** Two replicas that have seen a writable server for long enough. */
async function stage(t: Test): Promise<Stage> {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0, internal2 = 0, open2 = 0] = await freePorts(4)
  const sandbox = await startSandbox(t, { publicPort: open })
  const env = {
    HEARTBEAT_MS: String(HEARTBEAT_MS),
    AMO_REDIRECT_URI: `http://127.0.0.1:${open}/api/v1/integrations/amo-crm/callback`,
  }
  const options = { databaseUrl, sandbox, env }
  const [first, second] = await Promise.all([
    startBroker(t, { ...options, ports: [internal, open] }),
    startBroker(t, { ...options, ports: [internal2, open2], ownProcess: true }),
  ])
  await connectAccount(first)
  const force = async () => {
    const beganMs = performance.now()
    const { status, body } = await first.post('/tokens/demo/refresh', FORCE)
    if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`)
    return { tookMs: performance.now() - beganMs, generation: body.generation as number }
  }
  await until(async () => (await force()).tookMs < HEARTBEAT_MS)
  return { first, second, databaseUrl, force }
}

t.test('a forced rotation waits for every replica, and for no longer', async (t) => {
  const { second, databaseUrl, force } = await stage(t)
  const full = 'the full time was waited'

  await t.test('all acknowledge: none serves the old token afterwards', async (t) => {
    const times: number[] = []
    for (const _ of [1, 2, 3]) {
      await until(async () => (await second.get('/tokens/demo')).body.use_for > 0)
      const { tookMs, generation } = await force()
      const { body } = await second.get('/tokens/demo')
      t.equal(body.generation, generation, 'the other replica has dropped it')
      times.push(tookMs)
    }
    t.comment(`forced in ${times.map(Math.round).join(', ')} ms`)
    t.ok(Math.min(...times) < HEARTBEAT_MS, 'no heartbeat was waited for')
  })

  await t.test(
    'a replica is stopped: its cache is no longer trusted when it goes on',
    async (t) => {
      await until(async () => (await second.get('/tokens/demo')).body.use_for > 0)
      second.process.kill('SIGSTOP')
      const { tookMs, generation } = await force().finally(() => second.process.kill('SIGCONT'))
      t.ok(tookMs >= HEARTBEAT_MS, full)
      t.equal((await second.get('/tokens/demo')).body.generation, generation)
    },
  )

  await t.test('a member that does not exist any more', async (t) => {
    await query(databaseUrl, `insert into amo_replicas values ('gone', default, clock_timestamp())`)
    t.ok((await force()).tookMs >= HEARTBEAT_MS, full)
    await query(
      databaseUrl,
      `update amo_replicas set "beatAt" = now() - interval '3 seconds'
      where owner = 'gone'`,
    )
    t.ok((await force()).tookMs < HEARTBEAT_MS, 'it counts until its last beat is old')
  })

  await t.test('a replica joins between the announcement and its commit', async (t) => {
    await query(
      databaseUrl,
      `create function joins() returns trigger language plpgsql as $$ begin
        insert into amo_replicas values ('joined', default, clock_timestamp())
          on conflict (owner) do update set "beatAt" = excluded."beatAt";
        return null;
      end $$`,
    )
    await query(
      databaseUrl,
      `create trigger joins after update of "nextAttemptAt" on amo_tokens
        for each row execute function joins()`,
    )
    t.ok((await force()).tookMs >= HEARTBEAT_MS, full)
  })
})

t.test('a database that was read-only a moment ago: the full time', async (t) => {
  const { first, second, databaseUrl, force } = await stage(t)
  // A stopped replica, whose last beat is old by the time that the database accepts writes again.
  second.process.kill('SIGSTOP')
  t.teardown(() => second.process.kill('SIGCONT'))
  await setReadOnly(databaseUrl, true)
  await until(async () => /read-only/.test((await first.get('/health/ready')).body.degraded.join()))
  await until(async () => {
    const [row] = await query(
      databaseUrl,
      `select max("beatAt") < now() - interval '3 seconds' as "areOld" from amo_replicas`,
    )
    return row?.areOld
  })
  t.equal((await first.post('/tokens/demo/refresh', FORCE)).status, 503)
  await setReadOnly(databaseUrl, false)
  await until(() =>
    force().then(
      () => true,
      () => false,
    ),
  )
  // The claim waited for a gap as well, so the time counts from the commit.
  const [row] = await query(
    databaseUrl,
    `select extract(epoch from clock_timestamp() - "lastRefreshAt")::float8 * 1000 as "sinceMs"
     from amo_tokens`,
  )
  t.ok(row?.sinceMs >= HEARTBEAT_MS, 'the row of a replica may be older than its cache')
})
