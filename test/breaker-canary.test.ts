import t from 'tap'
import { startBroker, startSandbox, type TestBroker, until } from './support/broker.ts'
import { createDatabase, query } from './support/database.ts'
import { addAccounts, makeAllDue } from './support/database-with-accounts.ts'
import { freePorts } from './support/ports.ts'

const BREAKER_MS = 500

t.test('a canary that fails: one per opening, and the open times grow', async (t) => {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: open })
  const env = { LOG_LEVEL: 'info', PACE_PER_SECOND: '50', BREAKER_MS: String(BREAKER_MS) }
  const broker: TestBroker = await startBroker(t, {
    databaseUrl,
    sandbox,
    ports: [internal, open],
    env,
  })
  await addAccounts(databaseUrl, sandbox, 200)
  sandbox.world.faults.set([{ fault: 'bad_gateway_after_spend', endpoint: 'token' }])
  await makeAllDue(databaseUrl)
  const canaries = () =>
    query(
      databaseUrl,
      `select "sendCount", "sentAt", "sentAt" is null and "finishedAt" is null as "isUnsent"
       from amo_refresh_attempts where purpose = 'canary' order by id`,
    )
  const sentCanaries = async () => (await canaries()).filter(({ sentAt }) => sentAt !== null)
  await until(async () => (await sentCanaries()).length >= 4, 60_000)
  const sent = await sentCanaries()
  t.ok(sent.every(({ sendCount }) => sendCount <= 1))
  const gaps = sent.slice(1).map(({ sentAt }, index) => sentAt - sent[index]?.sentAt)
  // The first opening came before the first canary. The factor allows for the jitter.
  const isLongEnough = gaps.every((gapMs, index) => gapMs >= 0.75 * BREAKER_MS * 2 ** (index + 1))
  t.ok(isLongEnough, `the waits grow: ${gaps.join(', ')} ms`)
  const { body } = await broker.get('/health/ready')
  t.match(body.degraded.join(), /breaker/)

  t.comment('where not even the probe is answered, the canary is not sent but given back')
  sandbox.world.faults.add([{ fault: 'server_error', endpoint: 'probe' }])
  // A canary may be between its probe and its send at this moment.
  await until(async () => (await canaries()).every(({ isUnsent }) => !isUnsent))
  const { tokenCalls } = sandbox.world.books.totals
  const times = (await canaries()).length
  const [{ openings = 0 } = {}] = await query(databaseUrl, 'select openings from amo_breakers')
  await query(databaseUrl, `update amo_breakers set "openUntil" = now()`)
  await until(async () => (await canaries()).length > times, 30_000)
  await until(
    async () =>
      (await query(databaseUrl, 'select openings from amo_breakers'))[0]?.openings > openings,
  )
  t.equal(sandbox.world.books.totals.tokenCalls, tokenCalls)
  t.match((await canaries()).at(-1), { sendCount: 0 })
})
