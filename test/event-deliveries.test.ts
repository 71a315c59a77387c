import type { Kysely } from 'kysely'
import t, { type Test } from 'tap'
import type { Tables } from '../src/db/tables.ts'
import { sequenceEvents } from '../src/events/sequence.ts'
import { insertTestEvent } from '../src/events/store.ts'
import { query } from './support/database.ts'
import { createLedger } from './support/engine.ts'

interface Delivery {
  endpoint: string
  kind: string
  accounts: number[]
  after: number[]
  state: string
  due: number
}

interface Stage {
  db: Kysely<Tables>
  sql(text: string): Promise<Record<string, unknown>[]>
  sequence(): Promise<unknown>
  addEndpoint(name: string, fields?: string): Promise<string>
  /** Makes accounts reauth_required, one transaction each. */
  fail(...accounts: number[]): Promise<void>
  recover(...accounts: number[]): Promise<void>
  deliveries(state?: string): Promise<Delivery[]>
}

/** Accounts 1 to 12 on a database without a broker. */
async function setUp(t: Test): Promise<Stage> {
  const { databaseUrl, claimContext, addAccount } = await createLedger(t)
  for (let accountId = 1; accountId <= 12; accountId++) {
    await addAccount({ integration: 'amocrm', accountId }, 3600)
  }
  const db = claimContext.claims
  const sql = (text: string) => query(databaseUrl, text)
  const setStatus = async (status: string, accounts: number[]) => {
    for (const account of accounts) {
      await sql(`update amo_tokens set status = '${status}' where "accountId" = ${account}`)
    }
  }
  const stage: Stage = {
    db,
    sql,
    sequence: () => sequenceEvents({ db }),
    async addEndpoint(name, fields = 'null, null, true') {
      const [row] = await sql(
        `insert into amo_endpoints (name, kind, target, origin, "createdBy", types, integrations, grouped)
         values ('${name}', 'telegram', 'sealed', 'https://t.example', 'x', ${fields}) returning id`,
      )
      return String(row?.id)
    },
    fail: (...accounts) => setStatus('reauth_required', accounts),
    recover: (...accounts) => setStatus('active', accounts),
    deliveries: async (state = 'pending') =>
      (await sql(
        `select e.name as endpoint, d.kind, d.state, "afterIds"::int[] as after,
           array(select v."accountId"::int from unnest(d."eventIds") with ordinality i(id, n)
             join amo_events v on v.id = i.id order by n) as accounts,
           round(extract(epoch from d."nextAttemptAt" - clock_timestamp()))::int as due
         from amo_deliveries d join amo_endpoints e on e.id = d."endpointId"
         where d.state = '${state}' order by d.id`,
      )) as unknown as Delivery[],
  }
  await stage.sequence()
  return stage
}

t.test('deliveries: the filters of an endpoint, and those that pass every filter', async (t) => {
  const { addEndpoint, fail, sequence, deliveries, sql, db } = await setUp(t)
  await addEndpoint('all')
  await addEndpoint('breakers', `'{breaker.opened}', '{amocrm}', false`)
  await addEndpoint('kommo', `null, '{kommo}', false`)
  const off = await addEndpoint('off')
  await fail(1)
  await sql(
    `insert into amo_breakers (key, "openUntil", reason) values ('amocrm', now(), 'no_answer')`,
  )
  await sql(`update amo_endpoints set state = 'disabled' where name = 'off'`)
  await db.transaction().execute((trx) => insertTestEvent(trx, off, 'off'))
  await sequence()
  const byEndpoint = Map.groupBy(await deliveries(), ({ endpoint }) => endpoint)
  t.equal(byEndpoint.get('all')?.length, 3)
  t.equal(byEndpoint.get('breakers')?.length, 2, 'the breaker, and the endpoint that is disabled')
  t.equal(byEndpoint.get('kommo')?.length, 1, 'no other platform, and the disabled endpoint')
  t.notOk(byEndpoint.has('off'), 'a disabled endpoint gets nothing')
})

t.test('deliveries: a later event of an account waits for the earlier one', async (t) => {
  const { addEndpoint, fail, recover, sequence, deliveries } = await setUp(t)
  await addEndpoint('hook', 'null, null, false')
  await fail(1, 2)
  await sequence()
  await recover(2, 1)
  await sequence()
  const [first, second, third, fourth] = await deliveries()
  t.match(
    [first, second],
    [
      { accounts: [1], after: [] },
      { accounts: [2], after: [] },
    ],
  )
  t.match(
    [third, fourth],
    [
      { accounts: [2], after: [2] },
      { accounts: [1], after: [1] },
    ],
  )
})

t.test('deliveries: more than five accounts of one integration are one message', async (t) => {
  const { addEndpoint, fail, sequence, deliveries, sql } = await setUp(t)
  await addEndpoint('chat')
  await fail(1, 2, 3)
  await sequence()
  t.equal((await deliveries()).length, 3, 'few are messages of their own')
  await fail(4, 5, 6, 7)
  await sequence()
  t.match(await deliveries(), [{ kind: 'group', accounts: [1, 2, 3, 4, 5, 6, 7] }])
  t.equal((await deliveries('grouped')).length, 5)
  await fail(8)
  await sequence()
  t.match(await deliveries(), [{ kind: 'group', accounts: [1, 2, 3, 4, 5, 6, 7, 8] }])

  // A sender has taken it: the next message comes when ten minutes are over.
  await sql(
    `update amo_deliveries set state = 'delivered', "finishedAt" = now() where kind = 'group'`,
  )
  await fail(9, 10)
  await sequence()
  const after = await deliveries()
  t.match(after, [{ kind: 'group', accounts: [9, 10] }])
  t.ok(Number(after[0]?.due) > 500, 'one message in ten minutes')
})

t.test('deliveries: an endpoint that groups nothing gets each account', async (t) => {
  const { addEndpoint, fail, sequence, deliveries } = await setUp(t)
  await addEndpoint('hook', 'null, null, false')
  await fail(1, 2, 3, 4, 5, 6, 7)
  await sequence()
  t.equal((await deliveries()).length, 7)
})

t.test('deliveries: an account that keeps changing is one message, once it is calm', async (t) => {
  const { addEndpoint, fail, recover, sequence, deliveries, sql } = await setUp(t)
  await addEndpoint('chat')
  for (let round = 0; round < 4; round++) {
    await fail(1)
    await recover(1)
    await sequence()
  }
  const pending = await deliveries()
  t.match(
    pending,
    [
      { kind: 'single', accounts: [1] },
      { kind: 'single', accounts: [1] },
      { kind: 'flapping', accounts: [1, 1, 1, 1, 1, 1], after: [2] },
    ],
    'the first failure and recovery, and then one message about all others',
  )
  t.ok(Number(pending[2]?.due) > 500, 'not before it is calm')
  await sql(`update amo_tokens set status = 'disconnected' where "accountId" = 1`)
  await sequence()
  t.match((await deliveries()).slice(2), [
    { kind: 'flapping', due: 0 },
    { kind: 'single', after: [3] },
  ])
})
