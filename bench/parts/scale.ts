import { type RawBuilder, sql } from 'kysely'
import type { ClaimContext } from '../../src/claims/claim-context.ts'
import { claimDueAccounts } from '../../src/claims/claim-due-accounts.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { withTeardown } from '../../test/support/teardown-scope.ts'
import { type Figure, median, ratios } from '../figures.ts'
import type { Aim } from '../load.ts'
import { playRounds, throughput } from '../rounds.ts'
import { startBroker } from '../servers.ts'
import { INTEGRATION, makeWorld, pathsOf, sibling, type World } from '../world.ts'
import type { Bench, Part } from './part.ts'

const SIZES = [1, 100, 1_000, 10_000, 1_000_000] as const
/** The same number of accounts is read in a database of any size. */
const WORKING_SET = 100
const DUE = 50
/** High enough that the pace bucket holds all accounts that are due. */
const PACE_PER_SECOND = 100
const TIMES = 100

/**
 * Measures reads, the scheduler's query, a list and a start with one account and up to a million.
 */
export const scale: Part = {
  name: 'scale',
  title: `From 1 account to 1,000,000; ${WORKING_SET} of them are read`,
  async run(scope, bench) {
    const worlds = new Map<number, World>()
    for (const size of SIZES) {
      const accounts = Math.min(size, WORKING_SET)
      bench.say(`  a database with ${size.toLocaleString('en')} accounts`)
      worlds.set(
        size,
        await makeWorld(scope, {
          ...bench,
          accounts,
          bystanders: size - accounts,
          pacePerSecond: PACE_PER_SECOND,
        }),
      )
    }
    const world = (size: (typeof SIZES)[number]) => {
      const found = worlds.get(size)
      if (found === undefined) throw new Error(`no world has ${size} accounts`)
      return found
    }
    const [million, thousand] = [world(1_000_000), world(1_000)]
    const figures = [
      ...(await compareDue(bench, million, thousand)),
      ...(await compareStarts(bench, million, world(100))),
    ]
    const aims: Record<string, Aim> = {}
    for (const [size, each] of worlds) {
      const { origin } = await startBroker(scope, each)
      const authorization = await sibling(each, origin)
      aims[size] = { origin, paths: pathsOf(each.subjects), authorization }
      if (each !== thousand && each !== million) continue
      const operator = `Bearer ${each.operatorKey}`
      aims[`list ${size}`] = { origin, paths: ['/accounts'], authorization: operator }
    }
    const sides = await playRounds(bench, aims)
    return [
      {
        name: 'hit at 1,000,000 accounts ÷ hit at 100',
        values: ratios(throughput(sides, '1000000'), throughput(sides, '100')),
        target: { is: 'at least', value: 0.95 },
      },
      ...figures,
      {
        name: 'GET /accounts at 1,000,000 ÷ at 1,000, requests per second',
        values: ratios(throughput(sides, 'list 1000000'), throughput(sides, 'list 1000')),
      },
      ...SIZES.map((size) => {
        const name = `hit at ${size.toLocaleString('en')}, requests per second`
        return { name, values: throughput(sides, String(size)) }
      }),
    ]
  },
}

/**
 * Measures the scheduler's own statement with nothing due, which is the usual case, and with some
 * accounts due. Every run is rolled back.
 */
async function compareDue({ rounds }: Bench, million: World, thousand: World): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const due of [0, DUE]) {
    const notDue = [await makeDue(million, due), await makeDue(thousand, due)]
    const large: number[] = []
    const small: number[] = []
    for (let round = 0; round < rounds; round += 1) {
      const each: [million: number, thousand: number][] = []
      for (let time = 0; time < TIMES; time += 1) {
        each.push([await timeOfClaim(million, due), await timeOfClaim(thousand, due)])
      }
      large.push(median(each.map(([ms]) => ms)))
      small.push(median(each.map(([, ms]) => ms)))
    }
    for (const undo of notDue) await undo()
    figures.push(
      {
        name: `scheduler’s query, ${due} due, 1,000,000 ÷ 1,000 accounts`,
        values: ratios(large, small),
        target: { is: 'at most', value: 1.5 },
      },
      { name: `scheduler’s query, ${due} due, at 1,000,000`, values: large, unit: ' ms' },
    )
  }
  return figures
}

/** Makes accounts due. Returns a function that undoes it. */
async function makeDue({ vault: { db } }: World, count: number): Promise<() => Promise<void>> {
  const plan = (time: RawBuilder<unknown>) => sql`
    update amo_tokens set "nextAttemptAt" = ${time}
    where "accountId" in (select "accountId" from amo_tokens order by "accountId" limit ${count})
  `
  await plan(sql`now() - interval '1 minute'`).execute(db)
  return async () => {
    await plan(sql`"refreshAt"`).execute(db)
  }
}

/** Returns milliseconds. Throws when it did not claim exactly the accounts that are due. */
async function timeOfClaim({ vault }: World, due: number): Promise<number> {
  const trx = await vault.db.startTransaction().execute()
  try {
    const claimContext: ClaimContext = {
      claims: trx,
      owner: 'bench',
      deploymentId: vault.deploymentId,
      keyIds: vault.keyRing.keyIds,
      limits: {
        sendLimitMs: 30_000,
        lingerMs: 300_000,
        settleMs: 60_000,
        breakerMs: 30_000,
        minRestMs: 5_000,
      },
      hasSecondPlace: () => true,
      hasGap: () => false,
      clock: systemClock,
    }
    const beganMs = performance.now()
    const claims = await claimDueAccounts(claimContext, INTEGRATION, DUE)
    const tookMs = performance.now() - beganMs
    if (claims.length !== due) throw new Error(`${claims.length} of ${due} due accounts claimed`)
    return tookMs
  } finally {
    await trx.rollback().execute()
  }
}

/** Measures the time from the start of the process until it is ready. */
async function compareStarts({ rounds }: Bench, million: World, hundred: World): Promise<Figure[]> {
  const tookMs = new Map<World, number[]>([
    [million, []],
    [hundred, []],
  ])
  for (let round = 0; round < rounds; round += 1) {
    for (const [world, values] of tookMs) {
      await withTeardown(async (scope) => {
        const { readyAfterMs } = await startBroker(scope, world)
        values.push(readyAfterMs)
      })
    }
  }
  return [
    {
      name: 'start to ready at 1,000,000 accounts',
      values: tookMs.get(million) ?? [],
      unit: ' ms',
      target: { is: 'at most', value: 1_000 },
    },
    { name: 'start to ready at 100 accounts', values: tookMs.get(hundred) ?? [], unit: ' ms' },
  ]
}
