import t, { type Test } from 'tap'
import { Director } from './support/interleavings/director.ts'
import { historyViolations } from './support/interleavings/history-violations.ts'
import { parkedPairs } from './support/interleavings/holdings.ts'
import { openLane } from './support/interleavings/lane.ts'

const LEASE_MS = 46_000
const SETTLE_MS = 61_000
/** A claim whose acknowledgement takes longer is lost. */
const ACKNOWLEDGED_MS = 7_000
/** The first recheck of an account that is `reauth_required` comes after about two minutes. */
const RECHECK_MS = 180_000
/** A token is due after this time. */
const LIFE_MS = 500_000

const lane = await openLane(t)
let race: Director | undefined
let title = ''
/** What is wrong with the histories that the races have left in the database. */
const histories: string[] = []
t.teardown(endRace)

async function begin(t: Test): Promise<Director> {
  await endRace()
  title = t.name
  race = new Director(lane)
  await race.world.begin()
  return race
}

/** Ends the replicas of a race. What they leave waiting would keep the lane open. */
async function endRace(): Promise<void> {
  if (race === undefined) return
  for (const { replica } of race.world.slots) replica?.actor.die()
  race = undefined
  await lane.quiet()
  histories.push(...(await historyViolations(lane)).map((text) => `${title}: ${text}`))
}

function holds(t: Test, { world }: Director, pair: string): void {
  t.same(world.monitor.violations, [])
  t.equal(world.current, pair, 'the row holds it')
  t.equal(world.row?.status, 'active')
}

t.test('frozen between the record of a send and its first byte: nothing is written', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 send: written')
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('B1 sweep')
  await race.go('B1', 'B1 probe: written')
  await race.go('B1')
  holds(t, race, 'r1')
  await race.make('A1 send: written')
  await race.go('A1')
  t.same(race.world.monitor.sends, ['r0'], 'the taker alone has sent it')
  holds(t, race, 'r1')
})

t.test('reclaimed while another reclaimer probes: one of them sends', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 send: written')
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('B1 sweep')
  await race.go('B1', 'B1 probe: written')
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('C1 sweep')
  await race.go('C1', 'C1 probe: written')
  await race.make('B1 probe: written', 'C1 probe: written')
  await race.make('provider, B1 probe r0: alive', 'provider, C1 probe r0: alive')
  await race.go('C1', 'C1 send: written')
  await race.go('B1')
  await race.make('C1 send: written')
  await race.go('C1')
  t.same(race.world.monitor.sends, ['r0'])
  holds(t, race, 'r1')
})

t.test('a new consent while a reclaimer probes: the old token is not sent again', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 send: written')
  await race.make('A1 crashes')
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('B1 sweep')
  await race.go('B1', 'provider, B1 probe r0: alive')
  await race.make('a person consents again at C1')
  await race.go('C1')
  await race.go('B1')
  t.same(race.world.monitor.sends, [], 'the row has moved on')
  holds(t, race, 'r1')
})

t.test(
  'a late response between a probe that says dead and its consequence: no account is reauth_required',
  async (t) => {
    const race = await begin(t)
    await race.make('A1 due')
    await race.go('A1', 'provider, A1 send r0: processed')
    await race.make('provider, A1 send r0: processed')
    await race.pass(LEASE_MS + SETTLE_MS)
    await race.make('B1 sweep')
    await race.go('B1', 'provider, B1 probe r0: dead')
    await race.make('provider, B1 probe r0: dead')
    // The reclaimer waits as long as a commit may take.
    await race.go('B1')
    t.equal(race.world.row?.status, 'active')
    await race.make('provider, A1 send r0: answered')
    await race.go('A1')
    await race.make('B1 timer of 10000 ms')
    await race.go('B1')
    holds(t, race, 'r1')
    t.notOk(
      race.world.trace.some((move) => move.includes('require reauth:')),
      'not for a moment',
    )
  },
)

t.test('a response that arrives after the limit is committed', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r0: answered')
  await race.make('A1 timer of 35000 ms', 'A1 update claimed: done')
  await race.make('provider, A1 send r0: answered')
  await race.go('A1')
  holds(t, race, 'r1')
})

const attempts = async () => {
  const { rows } = await lane.control.query(
    'select outcome, "sendCount" from amo_refresh_attempts order by id',
  )
  return rows
}

t.test('a send that cannot be recorded: the claim is released within its lease', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 record send: done')
  await race.make('A1 record send: failed')
  await race.go('A1', 'A1 release unsent: done')
  await race.make('A1 release unsent: failed')
  await race.make('A1 timer of 200 ms')
  await race.go('A1')
  t.same(await attempts(), [{ outcome: 'not_sent', sendCount: 0 }])
  await race.make('B1 due')
  await race.go('B1')
  holds(t, race, 'r1')
})

t.test('a send whose record is not acknowledged: nothing is released', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 record send: unacknowledged')
  await race.make('A1 record send: unacknowledged')
  await race.go('A1')
  t.same(await attempts(), [{ outcome: null, sendCount: 1 }])
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('B1 sweep')
  await race.go('B1')
  holds(t, race, 'r1')
})

t.test('a claim that is not acknowledged: the sweeper of its owner releases it', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 claim: unacknowledged')
  await race.make('A1 claim: unacknowledged')
  await race.go('A1')
  t.same(await attempts(), [{ outcome: null, sendCount: 0 }])
  await race.pass(ACKNOWLEDGED_MS)
  await race.make('A1 sweep')
  await race.go('A1')
  t.same(await attempts(), [{ outcome: 'not_sent', sendCount: 0 }])
  await race.make('B1 due')
  await race.go('B1')
  holds(t, race, 'r1')
})

t.test('stopped until the lease was over: the breaker does not count it', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 send: written')
  await race.pass(LEASE_MS)
  await race.make('A1 send: written')
  await race.go('A1')
  t.same(await attempts(), [{ outcome: 'not_sent', sendCount: 1 }])
  const { rows } = await lane.control.query('select failures from amo_breakers')
  t.same(rows, [], 'our own stop is no evidence about the provider')
  t.match(race.world.row, { status: 'active' })
  await race.make('B1 due')
  await race.go('B1')
  holds(t, race, 'r1')
})

t.test('a commit that fails is repeated by the process that has the response', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 put pair into row')
  await race.make('A1 put pair into row: failed')
  await race.make('A1 timer of 100 ms')
  await race.go('A1')
  holds(t, race, 'r1')
})

t.test('killed in the tick after a response arrived: it is on disk', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 put pair into row')
  await race.make('A1 crashes', 'A restarts', 'A2 sweep')
  await race.go('A2')
  holds(t, race, 'r1')
  t.same(race.world.monitor.sends, ['r0'])
})

t.test(
  'killed in the tick after a response arrived, its disk is gone: the copy in Redis is committed',
  async (t) => {
    const race = await begin(t)
    await race.make('A1 due')
    await race.go('A1', 'A1 Redis copy: done')
    await race.make('A1 Redis copy: done', 'A1 crashes, its disk is gone', 'B1 sweep')
    await race.go('B1')
    holds(t, race, 'r1')
  },
)

t.test('a response that arrives after a new consent: parked', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r0: answered')
  await race.make('a person consents again at B1')
  await race.go('B1')
  await race.make('provider, A1 send r0: answered')
  await race.go('A1')
  holds(t, race, 'r2')
  const parked = await parkedPairs(lane)
  t.same(
    parked.map(({ token }) => token).sort(),
    ['r0', 'r1'],
    'the displaced one, and the late one',
  )
})

t.test(
  'a journaled response is committed under its own fence: not over a newer consent',
  async (t) => {
    const race = await begin(t)
    await race.make('A1 due')
    await race.go('A1', 'A1 put pair into row')
    await race.make('A1 crashes', 'a person consents again at B1')
    await race.go('B1')
    holds(t, race, 'r2')
    await race.make('A restarts', 'A2 sweep')
    await race.go('A2')
    holds(t, race, 'r2')
    await race.pass(LEASE_MS + SETTLE_MS)
    await race.make('B1 sweep')
    await race.go('B1')
    holds(t, race, 'r2')
  },
)

t.test('an unreachable store does not mean an absent response: the claim stays open', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 Redis copy: done')
  await race.make('A1 Redis copy: done', 'A1 crashes, its disk is gone')
  await race.pass(LEASE_MS + SETTLE_MS)
  // Redis neither lists the open responses nor returns the copy to the reclaimer.
  await race.make('B1 sweep', 'B1 Redis look for open ones: no answer')
  await race.go('B1', 'B1 Redis look: no answer')
  await race.make('B1 Redis look: no answer')
  await race.go('B1')
  t.equal(race.world.row?.status, 'active')
  t.equal(race.world.row?.isClaimed, true)
  t.notOk(
    race.world.trace.some((move) => move.includes('B1 probe')),
    'the provider is not asked',
  )
  await race.make('B1 sweep')
  await race.go('B1')
  holds(t, race, 'r1')
})

t.test('a response that is not flushed: the one before it stays', async (t) => {
  // One who waits is the metric, the other one the clearing after the commit.
  for (const [flush, waits, files] of [
    ['done', 1, 1],
    ['failed', 2, 2],
  ] as const) {
    const race = await begin(t)
    await race.make('A1 due')
    await race.go('A1')
    holds(t, race, 'r1')
    await race.pass(LIFE_MS)
    await race.make('A1 due')
    for (let wait = 0; wait < waits; wait += 1) {
      await race.go('A1', `A1 disk flush: ${flush}`)
      await race.make(`A1 disk flush: ${flush}`)
    }
    await race.go('A1')
    holds(t, race, 'r2')
    t.equal(race.world.slots[0]?.disk.size, files, flush)
  }
})

t.test('a lost acknowledgement of a commit: recognised as an own commit', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 commit: unacknowledged')
  await race.make('A1 commit: unacknowledged', 'A1 timer of 100 ms')
  await race.go('A1')
  holds(t, race, 'r1')
  const { rows } = await lane.control.query(
    'select outcome, "parkedPair" is not null as parked from amo_refresh_attempts',
  )
  t.same(rows, [{ outcome: 'committed', parked: false }])
})

t.test('a failover forgets the commit: the journaled response is committed again', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 commit: done')
  await race.make('A1 commit: done', 'failover')
  t.equal(race.world.current, 'r0')
  await race.make('A1 sweep')
  await race.go('A1')
  holds(t, race, 'r1')
})

t.test('a former primary acknowledges a commit after the failover: committed again', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 commit: acknowledged late')
  await race.make('A1 commit: acknowledged late', 'failover')
  await race.make('A1 acknowledgement: arrives')
  await race.go('A1')
  holds(t, race, 'r1')
  t.same(race.world.monitor.sends, ['r0'])
})

t.test('after a failover nothing is claimed before the journal is committed', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'A1 commit: done')
  await race.make('A1 commit: done', 'failover', 'Redis loses its data')
  const before = race.world.trace.length
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('B1 sweep')
  await race.go('B1')
  t.equal(race.world.current, 'r0', 'the replica without the response waits')
  await race.go('A1')
  holds(t, race, 'r1')
  const claims = race.world.trace.slice(before).filter((move) => /^\w1 (re)?claim:/.test(move))
  t.same(claims, [], 'not even to look for the response')
  t.same(race.world.monitor.sends, ['r0'])
})

t.test('a frozen process reclaims its own claim: one of its flights sends', async (t) => {
  const race = await begin(t)
  await race.make('B1 due')
  await race.go('B1', 'B1 send: written')
  await race.make('B1 crashes')
  for (const _flight of [1, 2]) {
    await race.pass(LEASE_MS + SETTLE_MS)
    await race.make('A1 sweep')
    await race.go('A1', 'A1 probe: written')
    await race.make('A1 probe: written')
  }
  await race.go('A1')
  t.same(race.world.monitor.sends, ['r0'])
  holds(t, race, 'r1')
})

t.test('refused although it is alive: not reauth_required', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r0: 401 for a good token')
  await race.make('provider, A1 send r0: 401 for a good token')
  await race.go('A1')
  holds(t, race, 'r0')
})

t.test('reauth_required by wrong responses: found alive by a recheck, and refreshed', async (t) => {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r0: 401 for a good token')
  await race.make('provider, A1 send r0: 401 for a good token')
  await race.go('A1', 'provider, A1 probe r0: dead, a lie')
  await race.make('provider, A1 probe r0: dead, a lie')
  await race.go('A1')
  t.equal(race.world.row?.status, 'reauth_required')
  await race.pass(RECHECK_MS)
  await race.make('B1 recheck')
  await race.go('B1')
  holds(t, race, 'r0')
  await race.make('B1 due')
  await race.go('B1')
  holds(t, race, 'r1')
})

t.test('a parked pair that is alive is adopted before an account is reauth_required', async (t) => {
  const race = await begin(t)
  await race.make('a person consents again at A1')
  await race.go('A1')
  holds(t, race, 'r1')
  await race.pass(LIFE_MS)
  // The response is lost. The pair of the consent is spent, the pair that it displaced is not.
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r1: answered')
  await race.make('A1 crashes')
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('B1 sweep')
  await race.go('B1')
  await race.make('B1 timer of 10000 ms')
  await race.go('B1')
  holds(t, race, 'r0')
  t.notOk(race.world.trace.some((move) => move.includes('require reauth:')))
})

t.test('a pair displaced by a parked one after a wrong probe: parked, not lost', async (t) => {
  const race = await begin(t)
  await race.make('a person consents again at A1')
  await race.go('A1')
  await race.pass(LIFE_MS)
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r1: 401 for a good token')
  await race.make('provider, A1 send r1: 401 for a good token')
  await race.go('A1', 'provider, A1 probe r1: dead, a lie')
  await race.make('provider, A1 probe r1: dead, a lie')
  await race.go('A1')
  holds(t, race, 'r0')
  t.same(await parkedPairs(lane), [{ token: 'r1', fits: false }])
})

t.test('a probe under a claim that was reclaimed: nothing is adopted', async (t) => {
  const race = await begin(t)
  await race.make('a person consents again at A1')
  await race.go('A1')
  await race.pass(LIFE_MS)
  await race.make('A1 due')
  await race.go('A1', 'A1 send: written')
  await race.make('A1 crashes')
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('B1 sweep')
  await race.go('B1', 'provider, B1 probe r1: dead, a lie')
  await race.make('provider, B1 probe r1: dead, a lie')
  await race.go('B1')
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('C1 sweep')
  await race.go('C1', 'C1 send: written')
  // B continues with the result of its earlier probe, and finds that the parked pair is alive.
  await race.make('B1 timer of 10000 ms')
  await race.go('B1')
  holds(t, race, 'r1')
  await race.go('C1')
  holds(t, race, 'r2')
})

/** A parks r1, which came after a new consent, and a failover forgets that. A's disk has r1. */
async function forgetParked(t: Test): Promise<Director> {
  const race = await begin(t)
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r0: answered')
  await race.make('a person consents again at B1')
  await race.go('B1')
  await race.make('provider, A1 send r0: answered')
  await race.go('A1', 'A1 commit: done')
  await race.make('A1 commit: done', 'failover')
  return race
}

t.test('a failover forgets that a pair was parked: it is parked again', async (t) => {
  const race = await forgetParked(t)
  const tokens = async () => (await parkedPairs(lane)).map(({ token }) => token).sort()
  t.same(await tokens(), ['r0'], 'the answer is forgotten')
  await race.make('A1 sweep')
  await race.go('A1')
  t.same(await tokens(), ['r0', 'r1'])
  holds(t, race, 'r2')
})

t.test(
  'a failover forgets that a pair was parked: a newer commit does not delete it',
  async (t) => {
    const race = await forgetParked(t)
    for (const name of ['A1', 'B1']) {
      await race.go(name)
      await race.make(`${name} timer of 1500 ms`)
      await race.go(name)
    }
    await race.pass(LIFE_MS)
    // It finishes the claim of A, which is open again since the failover.
    await race.make('B1 sweep')
    await race.go('B1')
    await race.make('A1 due')
    await race.go('A1')
    holds(t, race, 'r3')
    await race.make('A1 sweep')
    await race.go('A1')
    t.same((await parkedPairs(lane)).map(({ token }) => token).sort(), ['r0', 'r1'])
    holds(t, race, 'r3')
  },
)

t.test('the histories that the races have left keep their rules', async (t) => {
  await endRace()
  t.same(histories, [])
})
