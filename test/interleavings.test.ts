import fc from 'fast-check'
import t from 'tap'
import { ALL_FAULTS } from './support/interleavings/faults.ts'
import { COLLECTS_HISTORIES } from './support/interleavings/history-violations.ts'
import { openLane } from './support/interleavings/lane.ts'
import { play } from './support/interleavings/schedule.ts'

/**
 * The number of schedules that each lane plays, unless SCHEDULES sets it (`npm run schedules --
 * --timeout=3600` gives more of them the time). A failure names SCHEDULE_SEED and SCHEDULE_PATH,
 * which replay its schedule.
 */
const DEFAULT_SCHEDULES = 250
const { SCHEDULES, SCHEDULE_SEED, SCHEDULE_PATH } = process.env
/**
 * The number of schedules that are played concurrently, each on its own database. One runs while
 * another waits for PostgreSQL.
 */
const LANES = SCHEDULE_PATH === undefined ? 2 : 1
const MAX_MOVES = 160
/** A long run prints its progress after this number of schedules. */
const PROGRESS = 500

const schedules = fc.record({
  faults: fc.integer({ min: 0, max: ALL_FAULTS }),
  choices: fc.array(fc.nat({ max: 2 ** 20 }), { minLength: 20, maxLength: MAX_MOVES, size: 'max' }),
})

t.test(
  'refreshes of one account by three replicas, in any order and with any faults',
  { timeout: 0 },
  async (t) => {
    // `npm test` plays the same schedules each time. SCHEDULES plays other ones.
    const seed = Number(SCHEDULE_SEED ?? (SCHEDULES === undefined ? 1 : Date.now() % 2 ** 31))
    process.stderr.write(`seed ${seed}\n`)
    const counts = { schedules: 0, moves: 0, sends: 0 }
    const runLane = async (lane: number) => {
      const database = await openLane(t)
      const property = fc.asyncProperty(schedules, async (schedule) => {
        const { violations, trace, sends } = await play(database, schedule)
        counts.schedules += 1
        counts.moves += trace.length
        counts.sends += sends
        if (violations.length > 0 && !COLLECTS_HISTORIES)
          throw new Error([...violations, ...trace].join('\n'))
        if (SCHEDULES !== undefined && counts.schedules % PROGRESS === 0)
          process.stderr.write(`${counts.schedules} schedules\n`)
      })
      return await fc.check(property, {
        seed: seed + lane,
        ...(SCHEDULE_PATH === undefined ? {} : { path: SCHEDULE_PATH }),
        numRuns: Number(SCHEDULES ?? DEFAULT_SCHEDULES),
        endOnFailure: true,
      })
    }
    const results = await Promise.all(Array.from({ length: LANES }, (_, lane) => runLane(lane)))
    for (const { failed, seed, counterexamplePath, errorInstance } of results) {
      const title = `SCHEDULE_SEED=${seed} SCHEDULE_PATH=${counterexamplePath ?? ''} plays it again`
      const failure = errorInstance instanceof Error ? errorInstance.message : undefined
      t.equal(failed && counterexamplePath !== null ? failure : undefined, undefined, title)
    }
    t.ok(counts.schedules > 0)
    const { schedules: played, moves, sends } = counts
    process.stderr.write(`${played} schedules, ${moves} moves, ${sends} sends\n`)
  },
)
