import type { Move } from './actor.ts'
import { keptTokens, parkedPairs } from './holdings.ts'
import type { Lane } from './lane.ts'
import { choresOf, movesOf, restartOf } from './moves.ts'
import { World } from './world.ts'

/** Which kinds of faults there are, and one choice a move. */
export interface Schedule {
  faults: number
  choices: number[]
}

export interface Result {
  violations: string[]
  /** Every move, in its order. */
  trace: string[]
  sends: number
}

/** With nothing going wrong any more, everything is settled after so many looks of every replica. */
const ROUNDS = 8
/** So long between two looks that leases, settle times and first waits are over. */
const ROUND_MS = 700_000
/** More moves than any round needs. */
const MAX_MOVES = 3_000

/** Plays one schedule, lets everything come to rest, and judges what is left. */
export async function play(lane: Lane, { faults, choices }: Schedule): Promise<Result> {
  const world = new World(lane, faults)
  const { violations, sends } = world.judge
  await world.begin()
  for (const choice of choices) {
    if (violations.length > 0) break
    await world.make(pick(movesOf(world), choice))
  }
  if (violations.length === 0) await comeToRest(world)
  for (const { replica } of world.slots) replica?.actor.die()
  await lane.quiet()
  return { violations, trace: world.trace, sends: sends.length }
}

function pick(moves: Move[], choice: number): Move {
  let left = choice % moves.reduce((sum, { weight }) => sum + weight, 0)
  const found = moves.find(({ weight }) => {
    left -= weight
    return left < 0
  })
  if (found === undefined) throw new Error('there is always a move')
  return found
}

async function comeToRest(world: World): Promise<void> {
  world.trace.push('— nothing goes wrong from here on —')
  for (const slot of world.slots) {
    if (slot.replica === undefined) await world.make(restartOf(world, slot))
  }
  const first = world.row?.generation
  for (let round = 0; round < ROUNDS; round++) {
    await finishAll(world)
    const waitMs = (world.row?.nextAttemptAtMs ?? 0) - world.lane.clock.nowMs
    await world.lane.clock.pass(Math.max(ROUND_MS, waitMs + 1_000))
    for (const { replica, disk } of world.slots) {
      // What one finds another finds as well, but for what lies on its disk.
      if (replica === undefined || (replica !== world.slots[0]?.replica && disk.size === 0))
        continue
      for (const chore of choresOf(world, replica, true)) await world.make(chore)
      await finishAll(world)
    }
    if (world.judge.violations.length > 0) return
    const { status, generation, isClaimed } = world.row ?? {}
    if (status === 'active' && generation !== first && !isClaimed) break
  }
  await judgeRest(world)
}

/** All that was begun ends, without a fault. What waits for the time waits longest. */
async function finishAll(world: World): Promise<void> {
  for (let count = 0; count < MAX_MOVES; count++) {
    const moves = world.goingOn().filter(({ fault }) => fault === undefined)
    const next = moves.find(({ name }) => !name.endsWith(': rings')) ?? moves[0]
    if (next === undefined) return
    await world.make(next)
  }
  world.judge.violations.push('rest: what was begun never ends')
}

async function judgeRest(world: World): Promise<void> {
  const { lane, judge, provider, row, current } = world
  const { violations } = judge
  const { keyRing } = lane.config
  const { rows } = await lane.control.query(
    'select from amo_refresh_attempts where "finishedAt" is null',
  )
  if (rows.length > 0) violations.push(`rest: ${rows.length} claims are never finished`)
  const parked = await parkedPairs(lane)
  const kept = keptTokens(keyRing, world.keptFiles())
  const held = new Set([
    ...kept,
    ...parked.map(({ token }) => token),
    ...(current ? [current] : []),
  ])
  for (const token of judge.arrived) {
    if (held.has(token) || world.committed.has(token) || world.destroyed.has(token)) continue
    violations.push(`I2: ${token} arrived and is nowhere`)
  }
  for (const token of world.committed) {
    if (!held.has(token) && provider.isAlive(token)) {
      violations.push(`I2: ${token} lives, was in the row, and is nowhere`)
    }
  }
  for (const { token, fits } of parked) {
    if (fits) violations.push(`rest: ${token} is parked, though it fits the row`)
  }
  const living = [...held].filter((token) => provider.isAlive(token))
  const works = row?.status === 'active' && current !== undefined && provider.isAlive(current)
  if (living.length > 0 && !works) {
    violations.push(`I4: ${living} lives, but the account is ${row?.status} with ${current}`)
  }
  if (living.length === 0 && row?.status !== 'reauth_required') {
    violations.push(`rest: nothing lives, but the account is ${row?.status} with ${current}`)
  }
}
