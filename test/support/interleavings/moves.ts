import type { Move } from './actor.ts'
import type { Replica } from './replica.ts'
import type { Slot, World } from './world.ts'

/** Slightly more than a lease; a lease and the settle time; the whole life of an access token. */
const JUMPS_MS = { 'a lease': 50_000, 'a lease and the settle time': 120_000, 'a life': 700_000 }
/** A failover forgets commits of at most this many moves ago. */
const STANDBY_LAG = 10

/** Lists every move that is possible next. */
export function movesOf(world: World): Move[] {
  const all = [
    ...world.goingOn(),
    ...world.slots.flatMap((slot) => slotMoves(world, slot)),
    ...worldMoves(world),
  ]
  return all.filter(({ fault }) => world.budget.has(fault))
}

/**
 * Lists the periodic work of a replica. With `isHopeful`, only the work that may find something to
 * do.
 */
export function choresOf(world: World, { actor }: Replica, isHopeful: boolean): Move[] {
  const { row, lane } = world
  const isDue = (row?.nextAttemptAtMs ?? Number.POSITIVE_INFINITY) <= lane.time.nowMs
  const hopeful: Record<string, boolean> = {
    due: isDue && row?.status === 'active' && !row.isClaimed,
    recheck: isDue && row?.status === 'reauth_required' && !row.isClaimed,
  }
  return [...actor.chores]
    .filter(([name, { isRunning }]) => !isRunning && (!isHopeful || (hopeful[name] ?? true)))
    .map(([name, chore]) => ({
      name: `${actor.name} ${name}`,
      weight: name !== 'sweep' ? 6 : row?.isClaimed ? 3 : 1,
      make: () => chore.runNow(),
    }))
}

export function restartOf(world: World, slot: Slot): Move {
  return { name: `${slot.name} restarts`, weight: 4, make: () => world.start(slot) }
}

function slotMoves(world: World, slot: Slot): Move[] {
  const { replica } = slot
  if (replica === undefined) return [restartOf(world, slot)]
  const read: Move = {
    name: `${replica.actor.name} is asked for the token`,
    weight: 1,
    make: () => replica.read(world.row?.generation ?? 0),
  }
  return [
    ...choresOf(world, replica, true),
    ...(replica.isReading ? [] : [read]),
    {
      name: `${replica.actor.name} crashes`,
      weight: 1,
      fault: 'crash',
      make: () => world.kill(slot),
    },
    {
      name: `${replica.actor.name} crashes, its disk is gone`,
      weight: 1,
      fault: 'disk_gone',
      make: () => world.kill(slot, true),
    },
    ...[false, true].map(
      (revokes): Move => ({
        name: `a person consents again at ${replica.actor.name}${revokes ? ', older grants die' : ''}`,
        weight: 1,
        fault: 'consent',
        make: () => world.consent(replica, revokes),
      }),
    ),
  ]
}

function worldMoves(world: World): Move[] {
  const isIdle = world.goingOn().length === 0
  const jumps = Object.entries(JUMPS_MS).map(
    ([name, ms]): Move => ({
      name: `${name} passes`,
      weight: isIdle ? 8 : 2,
      fault: 'time',
      make: () => world.lane.time.pass(ms),
    }),
  )
  const redis: Move = {
    name: 'Redis loses its data',
    weight: 1,
    fault: 'redis_loses_data',
    make: () => world.loseRedis(),
  }
  const standby = world.standby
  const isFresh = standby !== undefined && world.trace.length - standby.atMove <= STANDBY_LAG
  if (!isFresh) return [...jumps, redis]
  const failover: Move = {
    name: 'failover: the last commits are forgotten',
    weight: 3,
    fault: 'failover',
    make: () => world.failOver(standby),
  }
  return [...jumps, redis, failover]
}
