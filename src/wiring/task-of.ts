import { isStorageFailure } from '../db/failures.ts'
import { systemClock } from '../lib/clock.ts'
import { PeriodicTask, type PeriodicWork } from '../lib/periodic-task.ts'
import type { Foundation } from './foundation.ts'

/** Repeats work while the storage can be written to. Its loss is logged by the storage itself. */
export function taskOf({ common }: Pick<Foundation, 'common'>, work: PeriodicWork): PeriodicTask {
  const { storage } = common.database
  const gate = { isOpen: () => storage.canWrite(), isClosedBy: isStorageFailure }
  return new PeriodicTask(work, common.log, systemClock, gate)
}
