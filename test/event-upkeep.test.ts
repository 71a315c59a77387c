import type { Kysely } from 'kysely'
import t, { type Test } from 'tap'
import type { Tables } from '../src/db/tables.ts'
import { EndingWatch } from '../src/events/ending-watch.ts'
import { EventRetention } from '../src/events/retention.ts'
import { sequenceEvents } from '../src/events/sequence.ts'
import { startBroker, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { query } from './support/database.ts'
import { createLedger } from './support/engine.ts'

/** A long time ago for every test, and less than any test keeps. */
const [OLD, YOUNG] = ["now() - interval '91 days'", "now() - interval '89 days'"]

interface Announcement {
  account: number | null
  client: string | null
  reason: string | null
  days: number
}

interface Stage {
  db: Kysely<Tables>
  sql(text: string): Promise<Record<string, unknown>[]>
  announce(): Promise<void>
  /** Returns what was announced since the last call. */
  announced(): Promise<Announcement[]>
}

/** Accounts 1 to 6 on a database without a broker. Nothing of them ends soon. */
async function setUp(t: Test): Promise<Stage> {
  const { databaseUrl, claimContext, addAccount } = await createLedger(t)
  await query(databaseUrl, 'delete from amo_tokens')
  for (let accountId = 1; accountId <= 6; accountId++) {
    await addAccount({ integration: 'amocrm', accountId }, 3600)
  }
  const db = claimContext.claims
  const sql = (text: string) => query(databaseUrl, text)
  await sql(`update amo_tokens set "refreshTokenExpiresAt" = now() + interval '80 days'`)
  await sql('truncate amo_events')
  const watch = new EndingWatch({ db })
  let last = 0
  return {
    db,
    sql,
    announce: () => watch.run(),
    async announced() {
      const rows = await sql(
        `select inserted::int, "accountId"::int as account, detail->>'client' as client, reason,
           (detail->>'days_left')::int as days, detail->>'ends_at' as ends
         from amo_events where type like '%.ending_soon' and inserted > ${last}
         order by inserted`,
      )
      last = Number(rows.at(-1)?.inserted ?? last)
      for (const { ends } of rows) t.ok(Date.parse(String(ends)) > Date.now(), String(ends))
      return rows.map(({ account, client, reason, days }) => ({
        account,
        client,
        reason,
        days,
      })) as Announcement[]
    },
  }
}

t.test('account.ending_soon: 14, 3 and 1 days before, once each', async (t) => {
  const { sql, announce, announced } = await setUp(t)
  const endsIn = (account: number, interval: string, column = 'refreshTokenExpiresAt') =>
    sql(
      `update amo_tokens set "${column}" = now() + interval '${interval}'
       where "accountId" = ${account}`,
    )
  await endsIn(1, '14 days 1 minute')
  await announce()
  t.same(await announced(), [], 'not before the fourteenth day')
  for (const [interval, days] of [
    ['13 days 23 hours', 14],
    ['3 days 1 minute', undefined],
    ['2 days 23 hours', 3],
    ['1 day 1 minute', undefined],
    ['23 hours', 1],
    ['1 minute', undefined],
  ] as const) {
    await endsIn(1, interval)
    await announce()
    await announce()
    const expected = { account: 1, client: null, reason: 'refresh_token_ends_soon', days }
    t.same(await announced(), days === undefined ? [] : [expected], interval)
  }
  await endsIn(2, '2 days')
  await sql(
    `update amo_tokens set kind = 'long_lived', "refreshToken" = null where "accountId" = 3`,
  )
  await endsIn(3, '10 days', 'expiresAt')
  await announce()
  t.same(
    await announced(),
    [
      { account: 2, client: null, reason: 'refresh_token_ends_soon', days: 3 },
      { account: 3, client: null, reason: 'long_lived_token_ends_soon', days: 14 },
    ],
    'a token that was unknown before is announced once, with the days that are left',
  )
  await endsIn(4, '5 days')
  await endsIn(5, '5 days')
  await endsIn(6, '5 days')
  await sql(`update amo_tokens set status = 'disconnected' where "accountId" = 4`)
  await sql(`update amo_tokens set shadow = true where "accountId" = 5`)
  await announce()
  t.match(await announced(), [{ account: 6 }], 'not where nobody needs the token any more')
  await sql(`update amo_tokens set generation = nextval('amo_generation') where "accountId" = 1`)
  await endsIn(1, '2 days')
  await announce()
  t.match(await announced(), [{ account: 1, days: 3 }], 'the next pair is announced again')
})

t.test('client_key.ending_soon: the last key of a client only', async (t) => {
  const { sql, announce, announced } = await setUp(t)
  const key = (id: string, interval: string) =>
    `jsonb_build_object('id', '${id}', 'expiresAt', now() + interval '${interval}')`
  for (const [name, ...keys] of [
    ['ends', key('a', '2 days')],
    ['later', key('b', '20 days')],
    ['replaced', key('c', '2 days'), key('d', '300 days')],
    ['ended', key('e', '-1 minute')],
  ]) {
    await sql(
      `insert into amo_clients (name, role, keys, mac)
       values ('${name}', 'reader', jsonb_build_array(${keys.join(', ')}), 'x')`,
    )
  }
  await announce()
  await announce()
  t.same(await announced(), [{ account: null, client: 'ends', reason: null, days: 3 }])
})

t.test('account.ending_soon: two replicas and a restart repeat nothing', async (t) => {
  const { broker, sandbox, databaseUrl } = await startBrokerWithSandbox(t)
  await broker.stop()
  const start = () => startBroker(t, { databaseUrl, sandbox })
  const announced = () =>
    query(
      databaseUrl,
      `select (detail->>'days_left')::int as days from amo_events
       where type = 'account.ending_soon' order by inserted`,
    )
  const endsIn = (interval: string) =>
    query(
      databaseUrl,
      `update amo_tokens set "refreshTokenExpiresAt" = now() + interval '${interval}'`,
    )
  await endsIn('9 days')
  const both = await Promise.all([start(), start()])
  await until(async () => (await announced()).length > 0)
  await Promise.all(both.map((each) => each.stop()))
  await endsIn('2 days')
  const third = await start()
  await until(async () => (await announced()).length > 1)
  t.same(await announced(), [{ days: 14 }, { days: 3 }])
  await until(async () => {
    const { events } = (await third.get('/events')).body
    return events.at(-1)?.data.days_left === 3
  })
})

t.test('EVENT_DAYS: what is removed, and what must stay', async (t) => {
  const { db, sql, announce } = await setUp(t)
  const names = async (table: string) =>
    (await sql(`select reason from ${table} where reason is not null order by inserted`)).map(
      ({ reason }) => reason,
    )
  const add = (reason: string, at: string, account: number | null = null) =>
    sql(
      `insert into amo_events (type, integration, "accountId", reason, at)
       values ('account.pending', 'amocrm', ${account}, '${reason}', ${at})`,
    )
  for (const active of [true, false]) {
    await sql(
      `insert into amo_endpoints (name, kind, target, origin, "createdBy", state, "disabledReason")
       values ('${active ? 'active' : 'off'}', 'webhook', 's', 'o', 'x',
         '${active ? 'active' : 'disabled'}', ${active ? 'null' : "'operator'"})`,
    )
  }
  await add('old', OLD)
  await add('young', YOUNG)
  await add('first_of_account', OLD, 1)
  await add('newest_of_account', OLD, 1)
  await add('of_a_removed_account', OLD, 99)
  await add('delivered', OLD)
  await add('waiting', OLD)
  await add('waiting_for_a_disabled_endpoint', OLD)
  await sequenceEvents({ db })
  await add('not_sequenced', OLD)
  await sql('delete from amo_deliveries')
  const deliver = (reason: string, endpoint: string, state: string, finishedAt: string) =>
    sql(
      `insert into amo_deliveries
         ("endpointId", "messageId", kind, "eventIds", state, "createdAt", "finishedAt")
       select e.id, v.id, 'single', array[v.id], '${state}', ${OLD}, ${finishedAt}
       from amo_endpoints e, amo_events v where e.name = '${endpoint}' and v.reason = '${reason}'`,
    )
  await deliver('delivered', 'active', 'delivered', OLD)
  await deliver('delivered', 'off', 'failed', YOUNG)
  await deliver('waiting', 'active', 'pending', 'null')
  await deliver('waiting_for_a_disabled_endpoint', 'off', 'pending', 'null')
  const retention = new EventRetention({ db }, 90)
  await retention.run()
  t.same(await names('amo_events'), [
    'young',
    'newest_of_account',
    'delivered',
    'waiting',
    'not_sequenced',
  ])
  t.same(
    (await sql('select state from amo_deliveries order by state')).map(({ state }) => state),
    ['failed', 'pending'],
  )
  await sql(`update amo_deliveries set state = 'failed', "finishedAt" = ${OLD}`)
  await retention.run()
  t.same(await names('amo_events'), ['young', 'newest_of_account', 'not_sequenced'])
  t.same(await sql('select from amo_deliveries'), [])
  await add('next_of_account', 'now()', 1)
  await sequenceEvents({ db })
  const [next] = await sql(
    `select "accountSequence"::int as sequence from amo_events where reason = 'next_of_account'`,
  )
  t.equal(next?.sequence, 3, 'the numbers of the account go on')

  await sql(
    `insert into amo_clients (name, role, keys, mac) values ('ends', 'reader',
       jsonb_build_array(jsonb_build_object('id', 'a', 'expiresAt', now() + interval '5 days')), 'x')`,
  )
  await announce()
  await sequenceEvents({ db })
  const announcements = () => sql(`select id from amo_events where type = 'client_key.ending_soon'`)
  const before = await announcements()
  t.equal(before.length, 1)
  await sql('delete from amo_deliveries')
  await sql(`update amo_events set at = ${OLD} where type = 'client_key.ending_soon'`)
  await retention.run()
  await announce()
  t.same(await announcements(), before, 'an announcement stays until the end')
})

t.test('EVENT_DAYS: more than one statement removes', async (t) => {
  const { db, sql } = await setUp(t)
  await sql(
    `insert into amo_events (type, reason, at, position)
     select 'account.pending', 'old', ${OLD}, n from generate_series(1, 2500) n`,
  )
  await new EventRetention({ db }, 90).run()
  t.same(await sql(`select from amo_events where reason = 'old'`), [])
})
