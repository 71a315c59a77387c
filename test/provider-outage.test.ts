import t from 'tap'
import { startBroker, startSandbox, until } from './support/broker.ts'
import { createDatabase, query } from './support/database.ts'
import { addAccounts, makeAllDue } from './support/database-with-accounts.ts'
import { freePorts } from './support/ports.ts'
import { nothingHappensFor } from './support/waits.ts'

/** The limit of I10. */
const MOST_LOST = 5
const ACCOUNTS = 1_000
/** The default pace and the default times of the breaker. */
const DEFAULTS = { PACE_PER_SECOND: '2', LOG_LEVEL: 'info' }

async function threeReplicas(t: Parameters<typeof startSandbox>[0], env: Record<string, string>) {
  const databaseUrl = await createDatabase(t)
  const ports = await freePorts(6)
  const publicPort = ports[1] ?? 0
  const sandbox = await startSandbox(t, { publicPort })
  const redirectUri = `http://127.0.0.1:${publicPort}/api/v1/integrations/amo-crm/callback`
  const start = (index: number) =>
    startBroker(t, {
      ownProcess: true,
      databaseUrl,
      sandbox,
      ports: [ports[2 * index] ?? 0, ports[2 * index + 1] ?? 0],
      env: { ...DEFAULTS, AMO_REDIRECT_URI: redirectUri, ...env },
    })
  const replicas = await Promise.all([0, 1, 2].map(start))
  await addAccounts(databaseUrl, sandbox, ACCOUNTS)
  return { databaseUrl, sandbox, replicas }
}

const spentFor = (databaseUrl: string) =>
  query(
    databaseUrl,
    `select count(*)::int as sends from amo_refresh_attempts where "sendCount" > 0`,
  )

/**
 * Waits until the breaker is open, and then long enough to see that nothing is sent. It stays open
 * for 27 s at least.
 */
async function untilStopped(databaseUrl: string): Promise<void> {
  await until(
    async () => (await query(databaseUrl, 'select from amo_open_breakers')).length > 0,
    90_000,
  )
  await nothingHappensFor(2_000)
}

t.test('tokens spent, then 502, with 1,000 accounts due: at most 5 are lost', async (t) => {
  const { databaseUrl, sandbox, replicas } = await threeReplicas(t, {})
  sandbox.world.faults.set([{ fault: 'bad_gateway_after_spend', endpoint: 'token' }])
  await makeAllDue(databaseUrl)
  await untilStopped(databaseUrl)
  const lost = sandbox.world.books.list().filter(({ spent }) => spent).length
  t.ok(lost >= 2 && lost <= MOST_LOST, `${lost} refresh tokens were spent for nothing`)
  const { totals } = sandbox.world.books
  await nothingHappensFor(15_000)
  t.equal(totals.tokenCalls, lost, 'nothing was sent since')
  t.same(await spentFor(databaseUrl), [{ sends: lost }], 'which the ledger knows')
  for (const { get, log } of replicas) {
    const { body } = await get('/health/ready')
    t.equal(body.status, 'degraded')
    t.match(body.degraded.join(), /breaker amocrm at http:\/\/127\.0\.0\.1:\d+: .*gateway_error/)
    t.match(log(), /"level":50.*"msg":"breaker opened, nothing is sent"/)
  }

  t.comment('the provider works again: the canary finds it out, and the rest follows')
  sandbox.world.faults.clear()
  await query(databaseUrl, `update amo_breakers set "openUntil" = now()`)
  await until(() => totals.refreshes > lost + 20, 60_000)
  t.same(await query(databaseUrl, 'select from amo_open_breakers'), [])
  t.match(
    await query(databaseUrl, `select purpose from amo_refresh_attempts where purpose = 'canary'`),
    [{ purpose: 'canary' }],
  )
  t.equal(totals.presentedAgain, 0)
  await until(() => replicas.every(({ log }) => log().includes('"msg":"breaker closed"')))
})

t.test('slow responses: no more sends in flight than the pace bucket holds', async (t) => {
  const { databaseUrl, sandbox } = await threeReplicas(t, { SEND_LIMIT_MS: '10000' })
  sandbox.world.faults.set([{ fault: 'silent_after_spend', endpoint: 'token' }])
  await makeAllDue(databaseUrl)
  await untilStopped(databaseUrl)
  const lost = sandbox.world.books.list().filter(({ spent }) => spent).length
  t.ok(lost >= 2 && lost <= MOST_LOST, `${lost} refresh tokens were spent for nothing`)
})

t.test('every other response fails: all sending stops', async (t) => {
  const { databaseUrl, sandbox } = await threeReplicas(t, {})
  sandbox.world.faults.set([
    { fault: 'bad_gateway_after_spend', endpoint: 'token', probability: 0.5, seed: 7 },
  ])
  await makeAllDue(databaseUrl)
  await untilStopped(databaseUrl)
  const lost = sandbox.world.books.list().filter(({ fault }) => fault !== undefined).length
  t.ok(lost >= 2 && lost <= MOST_LOST, `${lost} refresh tokens were spent for nothing`)
})
