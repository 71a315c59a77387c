import type { Move } from './actor.ts'
import { COLLECTS_HISTORIES, historyViolations } from './history-violations.ts'
import { journaledTokens, parkedPairs } from './holdings.ts'
import type { Lane } from './lane.ts'
import { choresOf, movesOf, restartOf } from './moves.ts'
import { World } from './world.ts'

/** A schedule: the kinds of faults, and one choice for each move. */
export interface Schedule {
  faults: number
  choices: number[]
}

export interface Result {
  violations: string[]
  /** Every move in its order. */
  trace: string[]
  sends: number
}

/** Without further faults everything is settled after this many checks by every replica. */
const ROUNDS = 8
/** Time between two checks, long enough for leases, settle times and first waits to end. */
const ROUND_MS = 700_000
/** More moves than any round needs. */
const MAX_MOVES = 3_000

/** Plays one schedule, lets all work end, and checks the final state. */
export async function play(lane: Lane, { faults, choices }: Schedule): Promise<Result> {
  const world = new World(lane, faults)
  const { violations, sends } = world.monitor
  await world.begin()
  for (const choice of choices) {
    if (isOver(world)) break
    await world.make(pick(movesOf(world), choice))
  }
  if (!isOver(world)) await comeToRest(world)
  for (const { replica } of world.slots) replica?.actor.die()
  await lane.quiet()
  const hadFailover = world.trace.some((move) => move.startsWith('failover'))
  violations.push(...(await historyViolations(lane, { hadFailover })))
  return { violations, trace: world.trace, sends: sends.length }
}

/** A broken rule ends a schedule, unless its history matters. */
function isOver({ monitor }: World): boolean {
  return monitor.violations.length > 0 && !COLLECTS_HISTORIES
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
    const waitMs = (world.row?.nextAttemptAtMs ?? 0) - world.lane.time.nowMs
    await world.lane.time.pass(Math.max(ROUND_MS, waitMs + 1_000))
    for (const { replica, disk } of world.slots) {
      // One replica finds the same work as another, apart from the responses on its own disk.
      if (replica === undefined || (replica !== world.slots[0]?.replica && disk.size === 0))
        continue
      for (const chore of choresOf(world, replica, true)) await world.make(chore)
      await finishAll(world)
    }
    if (isOver(world)) return
    const { status, generation, isClaimed } = world.row ?? {}
    if (status === 'active' && generation !== first && !isClaimed) break
  }
  await checkRest(world)
}

/** Lets all running work end without a fault. Waits for the time come last. */
async function finishAll(world: World): Promise<void> {
  for (let count = 0; count < MAX_MOVES; count++) {
    const moves = world.goingOn().filter(({ fault }) => fault === undefined)
    const next = moves.find(({ name }) => !name.endsWith(': rings')) ?? moves[0]
    if (next === undefined) return
    await world.make(next)
  }
  world.monitor.violations.push('rest: what was begun never ends')
}

async function checkRest(world: World): Promise<void> {
  const { lane, monitor, provider, row, current } = world
  const { violations } = monitor
  const { keyRing } = lane.config
  const { rows } = await lane.control.query(
    'select from amo_refresh_attempts where "finishedAt" is null',
  )
  if (rows.length > 0) violations.push(`rest: ${rows.length} claims are never finished`)
  const parked = await parkedPairs(lane)
  const journaled = journaledTokens(keyRing, world.journalFiles())
  const held = new Set([
    ...journaled,
    ...parked.map(({ token }) => token),
    ...(current ? [current] : []),
  ])
  for (const token of monitor.arrived) {
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
