import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { DELIVERY_STEPS, EVENT_STEPS } from '../src/lib/failpoint.ts'
import { startBroker, until } from './support/broker.ts'
import { createDatabase, query } from './support/database.ts'
import { emit, makeEndpoint, PRIVATE } from './support/endpoints.ts'
import { freePorts } from './support/ports.ts'
import { startReceiver } from './support/receivers.ts'
import { findServices } from './support/services.ts'
import { type TeardownScope, withTeardown } from './support/teardown-scope.ts'

/*
 * Kills a broker with SIGKILL at points between a change and the delivery of its event, many times,
 * and examines what the receiver got: every event, repeats with the same id and body, and first
 * attempts in order per account. `test/deliveries.test.ts` does the same at three points.
 */

const STEPS = [...EVENT_STEPS, ...DELIVERY_STEPS]
const ACCOUNTS = 5
/** Part of each message: each broker has another port. */
const CONSOLE_URL = 'https://console.example.com'
/** A broker is killed when it comes to its step for the first time, the second, and so on. */
const MOST_PASSES = 4
/** Between two changes. A start takes one to five seconds. */
const EMIT_MS = 250
/** The last broker delivers what the killed ones have left. */
const BACKLOG_LIMIT_MS = 600_000
const TYPES = ['account.connected', 'account.disconnected'] as const

const { values } = parseArgs({ options: { points: { type: 'string', default: '200' } } })

await using stack = new AsyncDisposableStack()
const services = await findServices({ log: () => {} })
stack.defer(() => services.stop())
process.env.TEST_DATABASE_URL = services.databaseUrl
process.env.TEST_REDIS_URL = services.redisUrl
await withTeardown((scope) => run(scope, Number(values.points)))

async function run(scope: TeardownScope, points: number): Promise<void> {
  const databaseUrl = await createDatabase(scope)
  const receiver = await startReceiver(scope)
  const [internal = 0, open = 0] = await freePorts(2)
  const ports: [number, number] = [internal, open]
  const first = await startBroker(scope, {
    databaseUrl,
    ports,
    env: { ...PRIVATE, CONSOLE_URL },
    ownProcess: true,
  })
  await makeEndpoint(first, { name: 'hook', url: receiver.origin })
  await first.stop()
  const emitted = new Map<string, number>()
  for (let point = 0; point < points; point += 1) {
    const step = STEPS[point % STEPS.length] ?? 'delivery_claimed'
    const passes = 1 + (Math.floor(point / STEPS.length) % MOST_PASSES)
    const died = killAt(scope, { databaseUrl, ports }, step, passes)
    let isDead = false
    died.finally(() => {
      isDead = true
    })
    // Changes go on until it is dead: one batch of events passes some steps only once.
    while (!isDead) {
      const account = 1 + (emitted.size % ACCOUNTS)
      const type = TYPES[emitted.size % TYPES.length] ?? TYPES[0]
      emitted.set(await emit(databaseUrl, account, type), account)
      await delay(EMIT_MS)
    }
    await died
    if ((point + 1) % 20 === 0) console.log(`${point + 1} kills`)
  }
  await startBroker(scope, {
    ...{ databaseUrl, ports, ownProcess: true },
    env: { ...PRIVATE, CONSOLE_URL },
  })
  await until(async () => {
    const [row] = await query(
      databaseUrl,
      `select count(*)::int as delivered from amo_deliveries where state = 'delivered'`,
    )
    return row?.delivered === emitted.size
  }, BACKLOG_LIMIT_MS)
  const bodies = new Map<string, string>()
  const firsts = new Map<number, string[]>()
  let [changed, strangers] = [0, 0]
  for (const { headers, body } of receiver.received) {
    const id = String(headers['webhook-id'])
    const account = emitted.get(id)
    if (account === undefined) strangers += 1
    else if (!bodies.has(id)) firsts.set(account, [...(firsts.get(account) ?? []), id])
    else if (bodies.get(id) !== body) changed += 1
    bodies.set(id, body)
  }
  const lost = [...emitted.keys()].filter((id) => !bodies.has(id)).length
  const disordered = [...firsts].filter(([account, ids]) => {
    const own = [...emitted].filter(([, of]) => of === account).map(([id]) => id)
    return own.join() !== ids.join()
  }).length
  const repeated = receiver.received.length - bodies.size
  console.log(
    `${points} kills, ${emitted.size} events: ${lost} lost, ${repeated} repeated, of those ${changed} changed, ${strangers} unknown, ${disordered} accounts out of order`,
  )
  if (lost + changed + strangers + disordered > 0) process.exitCode = 1
}

/** Starts a broker that dies at a step, and waits for its death. */
async function killAt(
  scope: TeardownScope,
  { databaseUrl, ports }: { databaseUrl: string; ports: [number, number] },
  step: string,
  passes: number,
): Promise<void> {
  const end = await startBroker(scope, {
    ...{ databaseUrl, ports, ownProcess: true, isReady: () => false },
    env: {
      ...PRIVATE,
      CONSOLE_URL,
      NODE_OPTIONS: '--import=./test/support/kill-at.ts',
      KILL_AT: step,
      KILL_PASSES: String(passes),
    },
  }).then(
    () => 'it became ready',
    (error: Error) => error.message,
  )
  if (!end.startsWith('the broker ended')) throw new Error(`no broker died at ${step}: ${end}`)
  // The leases of a dead process end after half a minute.
  await query(
    databaseUrl,
    `update amo_deliveries set "leaseUntil" = now() - interval '1 second'
     where "leaseUntil" is not null`,
  )
}
