import './support/interleavings/hooks.ts'
import fc from 'fast-check'
import t from 'tap'
import { clockHere } from './support/interleavings/actor.ts'
import { ALL_FAULTS } from './support/interleavings/faults.ts'

// After the hooks: these import the engine.
const { openLane } = await import('./support/interleavings/lane.ts')
const { play } = await import('./support/interleavings/schedule.ts')

/**
 * As many schedules as fit in this time, unless SCHEDULES says how many each lane plays (`npm run schedules -- --timeout=3600`
 * gives it the time). SCHEDULE_SEED and SCHEDULE_PATH, which a failure names, play that schedule again.
 */
const LIMIT_MS = 60_000
const { SCHEDULES, SCHEDULE_SEED, SCHEDULE_PATH } = process.env
/** Schedules that are played side by side, each on a database of its own: while one waits for PostgreSQL another goes on. */
const LANES = SCHEDULE_PATH === undefined ? 2 : 1
const MAX_MOVES = 160

const realNow = performance.now.bind(performance)
t.intercept(performance, 'now', { value: () => clockHere()?.nowMs ?? realNow() })
t.intercept(Math, 'random', { value: () => 0.5 })

const schedules = fc.record({
  faults: fc.integer({ min: 0, max: ALL_FAULTS }),
  choices: fc.array(fc.nat({ max: 2 ** 20 }), { minLength: 20, maxLength: MAX_MOVES, size: 'max' }),
})

t.test(
  'refreshes of one account by three replicas, in whatever order and with whatever faults',
  { timeout: 0 },
  async (t) => {
    // `npm test` plays the same ones each time; whoever wants more wants others.
    const seed = Number(SCHEDULE_SEED ?? (SCHEDULES === undefined ? 1 : Date.now() % 2 ** 31))
    process.stderr.write(`seed ${seed}\n`)
    const counts = { schedules: 0, moves: 0, sends: 0 }
    const runLane = async (lane: number) => {
      const database = await openLane(t)
      let playing: Promise<unknown> = Promise.resolve()
      const property = fc.asyncProperty(schedules, async (schedule) => {
        const played = play(database, schedule)
        playing = played
        const { violations, trace, sends } = await played
        counts.schedules += 1
        counts.moves += trace.length
        counts.sends += sends
        if (violations.length > 0) throw new Error([...violations, ...trace].join('\n'))
      })
      const details = await fc.check(property, {
        seed: seed + lane,
        ...(SCHEDULE_PATH === undefined ? {} : { path: SCHEDULE_PATH }),
        numRuns: Number(SCHEDULES ?? 1_000_000),
        ...(SCHEDULES === undefined ? { interruptAfterTimeLimit: LIMIT_MS } : {}),
        endOnFailure: true,
      })
      // The time limit leaves a schedule in the middle, and its connections taken.
      await playing.catch(() => {})
      return details
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
