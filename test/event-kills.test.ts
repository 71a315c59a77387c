import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { findEvents } from '../src/events/store.ts'
import { EVENT_STEPS } from '../src/lib/failpoint.ts'
import { until } from './support/broker.ts'
import { query } from './support/database.ts'
import { createLedger } from './support/engine.ts'

/** `EVENT_KILLS=200 npm test -- test/event-kills.test.ts` is the long form. */
const KILLS = Number(process.env.EVENT_KILLS ?? 8)
const ACCOUNTS = 5
const CHANGES = 6
const STATUSES = ['reauth_required', 'active', 'disconnected', 'active'] as const
/** What each change of `STATUSES` is, in the same order. */
const TYPES = ['reauth_required', 'recovered', 'disconnected', 'connected']

/** Kills a sequencer at a step, or at any moment, while a second one may be at work. */
function startSequencer(t: Test, databaseUrl: string, killAt?: string): ChildProcess {
  const args = killAt === undefined ? [] : ['--import', './test/support/kill-at.ts']
  const child = spawn(process.execPath, [...args, 'test/support/sequencer-process.ts'], {
    env: { PATH: process.env.PATH, DATABASE_URL: databaseUrl, KILL_AT: killAt },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

t.test(
  'kill -9 between a change and its delivery: no event is lost or repeated',
  { timeout: 7_000_000 },
  async (t) => {
    t.comment(`${KILLS} points`)
    const { databaseUrl, claimContext, addAccount } = await createLedger(t)
    await query(databaseUrl, 'delete from amo_tokens')
    for (let accountId = 1; accountId <= ACCOUNTS; accountId++) {
      await addAccount({ integration: 'amocrm', accountId }, 3600)
    }
    await query(databaseUrl, 'truncate amo_events')
    await query(
      databaseUrl,
      `insert into amo_endpoints (name, kind, target, origin, "createdBy", grouped)
       values ('hook', 'webhook', 'sealed', 'https://hook.example', 'x', false)`,
    )
    const changes = new Map<number, string[]>()
    const change = async (accountId: number) => {
      const made = changes.get(accountId) ?? []
      const step = made.length % STATUSES.length
      await query(databaseUrl, 'update amo_tokens set status = $1 where "accountId" = $2', [
        STATUSES[step],
        accountId,
      ])
      changes.set(accountId, [...made, `account.${TYPES[step]}`])
    }
    /** Changes that are killed before they commit: the server ends their session. */
    const killChange = () =>
      query(
        databaseUrl,
        `begin; update amo_tokens set status = 'pending'; select pg_terminate_backend(pg_backend_pid()); commit`,
      ).catch(() => {})

    // A reader that pages through the events all the time.
    const seen: { id: string; position: number | null }[] = []
    const readOn = async () => {
      const events = await findEvents(claimContext.claims, seen.at(-1)?.position ?? 0, 100)
      seen.push(...events.map(({ id, position }) => ({ id, position })))
    }

    for (let kill = 0; kill < KILLS; kill++) {
      const point = [...EVENT_STEPS, undefined][kill % (EVENT_STEPS.length + 1)]
      const child = startSequencer(t, databaseUrl, point)
      const ended = once(child, 'exit')
      if (point === undefined) await once(child.stdout ?? child, 'data')
      if (kill % 5 === 4) await killChange()
      for (let each = 0; each < CHANGES; each++) {
        await change(1 + ((kill * CHANGES + each) % ACCOUNTS))
        await readOn()
      }
      // At a moment that nobody has chosen.
      if (point === undefined) child.kill('SIGKILL')
      const [, signal] = await ended
      t.equal(signal, 'SIGKILL', `kill ${kill + 1}: ${point ?? 'any moment'}`)
    }
    startSequencer(t, databaseUrl)
    const total = KILLS * CHANGES
    await until(async () => {
      await readOn()
      return seen.length >= total
    })

    const events = await query<{ id: string; accountId: string; type: string; sequence: string }>(
      databaseUrl,
      'select id, "accountId", type, "accountSequence" as sequence from amo_events order by position',
    )
    t.equal(events.length, total, 'an event for each change, and none for a change that was killed')
    t.same(
      seen.map(({ id }) => id),
      events.map(({ id }) => id),
      'the reader saw each once, in order',
    )
    const deliveries = await query<{
      messageId: string
      accountId: string
      afterIds: string[]
      id: string
    }>(
      databaseUrl,
      'select id, "messageId", "accountId", "afterIds" from amo_deliveries order by id',
    )
    t.same(
      deliveries.map(({ messageId }) => messageId),
      events.map(({ id }) => id),
      'each has one delivery, under its id',
    )
    for (const [accountId, types] of changes) {
      const own = events.filter((event) => Number(event.accountId) === accountId)
      t.same(
        own.map(({ type }) => type),
        types,
        `account ${accountId}: in the order of its changes`,
      )
      t.same(
        own.map(({ sequence }) => Number(sequence)),
        types.map((_, index) => index + 1),
        'numbered without gaps',
      )
      const lane = deliveries.filter((delivery) => Number(delivery.accountId) === accountId)
      t.same(
        lane.map(({ afterIds }) => afterIds),
        lane.map((_, index) => (index === 0 ? [] : [lane[index - 1]?.id])),
        'each delivery waits for the one before it',
      )
    }
  },
)
