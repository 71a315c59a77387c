import './support/interleavings/hooks.ts'
import t, { type Test } from 'tap'
import { clockHere } from './support/interleavings/actor.ts'

// After the hooks: these import the engine.
const { Director } = await import('./support/interleavings/director.ts')
const { parkedPairs } = await import('./support/interleavings/holdings.ts')
const { openLane } = await import('./support/interleavings/lane.ts')

const realNow = performance.now.bind(performance)
t.intercept(performance, 'now', { value: () => clockHere()?.nowMs ?? realNow() })

const LEASE_MS = 46_000
const SETTLE_MS = 61_000
/** The first look at a condemned account comes after two minutes, more or less. */
const RECHECK_MS = 180_000
/** A token is due by then. */
const LIFE_MS = 500_000

const lane = await openLane(t)

async function begin(): Promise<InstanceType<typeof Director>> {
  const director = new Director(lane)
  await director.world.begin()
  return director
}

function holds(t: Test, { world }: InstanceType<typeof Director>, pair: string): void {
  t.same(world.judge.violations, [])
  t.equal(world.current, pair, 'the row holds it')
  t.equal(world.row?.status, 'active')
}

t.test('stopped between the record of a send and its first byte: nothing is written', async (t) => {
  const race = await begin()
  await race.make('A1 due')
  await race.go('A1', 'A1 send: written')
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('B1 sweep')
  await race.go('B1', 'B1 probe: written')
  await race.go('B1')
  holds(t, race, 'r1')
  await race.make('A1 send: written')
  await race.go('A1')
  t.same(race.world.judge.sends, ['r0'], 'the taker alone has sent it')
  holds(t, race, 'r1')
})

t.test('taken over while the probe of a taker is on its way: one of them sends', async (t) => {
  const race = await begin()
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
  t.same(race.world.judge.sends, ['r0'])
  holds(t, race, 'r1')
})

t.test(
  'a person consents again while a taker probes: the old token is not sent again',
  async (t) => {
    const race = await begin()
    await race.make('A1 due')
    await race.go('A1', 'A1 send: written')
    await race.make('A1 crashes')
    await race.pass(LEASE_MS + SETTLE_MS)
    await race.make('B1 sweep')
    await race.go('B1', 'provider, B1 probe r0: alive')
    await race.make('a person consents again at C1')
    await race.go('C1')
    await race.go('B1')
    t.same(race.world.judge.sends, [], 'the row has moved on')
    holds(t, race, 'r1')
  },
)

t.test(
  'a late answer between a probe that says dead and its verdict: nobody is condemned',
  async (t) => {
    const race = await begin()
    await race.make('A1 due')
    await race.go('A1', 'provider, A1 send r0: processed')
    await race.make('provider, A1 send r0: processed')
    await race.pass(LEASE_MS + SETTLE_MS)
    await race.make('B1 sweep')
    await race.go('B1', 'provider, B1 probe r0: dead')
    await race.make('provider, B1 probe r0: dead')
    // The taker waits as long as a commit may take.
    await race.go('B1')
    t.equal(race.world.row?.status, 'active')
    await race.make('provider, A1 send r0: answered')
    await race.go('A1')
    await race.make('B1 timer of 10000 ms')
    await race.go('B1')
    holds(t, race, 'r1')
    t.notOk(
      race.world.trace.some((move) => move.includes('condemn:')),
      'not for a moment',
    )
  },
)

t.test('an answer that comes after the limit is committed as it comes', async (t) => {
  const race = await begin()
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r0: answered')
  await race.make('A1 timer of 35000 ms', 'A1 end: done')
  await race.make('provider, A1 send r0: answered')
  await race.go('A1')
  holds(t, race, 'r1')
})

t.test('a commit that fails is tried again by the process that has the answer', async (t) => {
  const race = await begin()
  await race.make('A1 due')
  await race.go('A1', 'A1 put pair into row')
  await race.make('A1 put pair into row: failed')
  await race.make('A1 timer of 100 ms')
  await race.go('A1')
  holds(t, race, 'r1')
})

t.test('killed in the tick after an answer came: it is on disk', async (t) => {
  const race = await begin()
  await race.make('A1 due')
  await race.go('A1', 'A1 put pair into row')
  await race.make('A1 crashes', 'A restarts', 'A2 sweep')
  await race.go('A2')
  holds(t, race, 'r1')
  t.same(race.world.judge.sends, ['r0'])
})

t.test(
  'killed in the tick after an answer came, its disk is gone: the copy in Redis is committed',
  async (t) => {
    const race = await begin()
    await race.make('A1 due')
    await race.go('A1', 'A1 Redis copy: done')
    await race.make('A1 Redis copy: done', 'A1 crashes, its disk is gone', 'B1 sweep')
    await race.go('B1')
    holds(t, race, 'r1')
  },
)

t.test('an answer that comes after a person has consented again: parked', async (t) => {
  const race = await begin()
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

t.test('a kept answer is committed under its own fence: not over a newer consent', async (t) => {
  const race = await begin()
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
})

t.test('a store that cannot be asked is not an absent answer: the claim is kept', async (t) => {
  const race = await begin()
  await race.make('A1 due')
  await race.go('A1', 'A1 Redis copy: done')
  await race.make('A1 Redis copy: done', 'A1 crashes, its disk is gone')
  await race.pass(LEASE_MS + SETTLE_MS)
  // Redis does not list what is open, nor answer whoever takes the claim over.
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

t.test('an acknowledgement of a commit that got lost: found to be its own', async (t) => {
  const race = await begin()
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

t.test('a failover forgets the commit: the kept answer is committed again', async (t) => {
  const race = await begin()
  await race.make('A1 due')
  await race.go('A1', 'A1 commit: done')
  await race.make('A1 commit: done', 'failover')
  t.equal(race.world.current, 'r0')
  await race.make('A1 sweep')
  await race.go('A1')
  holds(t, race, 'r1')
})

t.test(
  'a process that was stopped takes over its own claim: one of its flights sends',
  async (t) => {
    const race = await begin()
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
    t.same(race.world.judge.sends, ['r0'])
    holds(t, race, 'r1')
  },
)

t.test('refused though it lives: not condemned', async (t) => {
  const race = await begin()
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r0: 401 for a good token')
  await race.make('provider, A1 send r0: 401 for a good token')
  await race.go('A1')
  holds(t, race, 'r0')
})

t.test('condemned by wrong answers: found alive by a later look, and refreshed', async (t) => {
  const race = await begin()
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

t.test('a parked pair that lives is adopted before an account is condemned', async (t) => {
  const race = await begin()
  await race.make('a person consents again at A1')
  await race.go('A1')
  holds(t, race, 'r1')
  await race.pass(LIFE_MS)
  // The answer is lost: what the person consented to is spent, the pair that it displaced is not.
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r1: answered')
  await race.make('A1 crashes')
  await race.pass(LEASE_MS + SETTLE_MS)
  await race.make('B1 sweep')
  await race.go('B1')
  await race.make('B1 timer of 10000 ms')
  await race.go('B1')
  holds(t, race, 'r0')
  t.notOk(race.world.trace.some((move) => move.includes('condemn:')))
})

t.test('displaced by a parked pair on a wrong verdict: parked in its turn, not lost', async (t) => {
  const race = await begin()
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

t.test('a verdict of a claim that was taken over meanwhile: nothing is adopted', async (t) => {
  const race = await begin()
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
  // B wakes up with its verdict of before, and finds that the parked pair lives.
  await race.make('B1 timer of 10000 ms')
  await race.go('B1')
  holds(t, race, 'r1')
  await race.go('C1')
  holds(t, race, 'r2')
})

t.test('a failover forgets that an answer was parked: it is parked again', async (t) => {
  const race = await begin()
  await race.make('A1 due')
  await race.go('A1', 'provider, A1 send r0: answered')
  await race.make('a person consents again at B1')
  await race.go('B1')
  await race.make('provider, A1 send r0: answered')
  await race.go('A1', 'A1 commit: done')
  await race.make('A1 commit: done', 'failover')
  const tokens = async () => (await parkedPairs(lane)).map(({ token }) => token).sort()
  t.same(await tokens(), ['r0'], 'the answer is forgotten')
  await race.make('A1 sweep')
  await race.go('A1')
  t.same(await tokens(), ['r0', 'r1'])
  holds(t, race, 'r2')
})
