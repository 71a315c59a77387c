import { BrokerStateWatch } from '../events/broker-state-watch.ts'
import { EndingWatch } from '../events/ending-watch.ts'
import { createEventCounter } from '../events/event-counter.ts'
import { EventFeed } from '../events/feed.ts'
import { EventRetention } from '../events/retention.ts'
import { Sequencer } from '../events/sequencer.ts'
import { PeriodicTask } from '../lib/periodic-task.ts'
import type { Foundation } from './foundation.ts'
import { taskOf } from './task-of.ts'

/** Makes the parts that record, order, keep and stream events. */
export function wireEvents(foundation: Foundation) {
  const { common, config, health, metrics } = foundation
  const { database, heartbeat, log } = common
  const feed = new EventFeed(database, log)
  const sequencer = new Sequencer(database, createEventCounter(metrics))
  const sequencing = taskOf(foundation, sequencer)
  const watch = new BrokerStateWatch({
    database,
    degradedParts: () => health.degradedParts(),
    nowMs: () => heartbeat.nowMs(),
  })
  const tasks = [
    sequencing,
    ...[new EndingWatch(database), new EventRetention(database, config.eventDays)].map((work) =>
      taskOf(foundation, work),
    ),
    // These run while PostgreSQL cannot be written to, too.
    ...[feed, watch].map((work) => new PeriodicTask(work, log)),
  ]
  const onEvent = () => {
    sequencer.ask()
    sequencing.runNow()
  }
  return {
    feed,
    /** What to do with the notifications of sql/202611260430_events.sql. */
    channels: [
      ['amo_events', onEvent],
      ['amo_sequenced', () => void feed.run()],
      ['amo_invalidated', feed.onInvalidated],
    ] as const,
    /** Starts the work in the background. Its end is registered in `open`. */
    start(open: AsyncDisposableStack): void {
      database.storage.onFailover(() => sequencer.skipPositions())
      database.storage.onWritable(onEvent)
      open.defer(async () => {
        feed.close()
        await Promise.all(tasks.map((task) => task.stop()))
      })
      for (const task of tasks) task.start()
    },
  }
}
