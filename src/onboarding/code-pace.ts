import { setTimeout as delay } from 'node:timers/promises'
import { takeCodePace } from '../claims/pace.ts'
import type { Database } from '../db/database.ts'
import type { InboxRow } from './inbox.ts'

const RETRY_MS = 200
/** The worker tries again afterwards. */
const WAIT_LIMIT_MS = 10_000

/**
 * Waits until the pace of the integration has room for the exchange of a code. Codes of
 * installations have a lane of their own (unproven-lane.ts), which has taken the pace already.
 *
 * @returns False when there was none in time, or the process stops.
 */
export async function awaitCodePace(
  { db }: Database,
  { origin, integration }: Pick<InboxRow, 'origin' | 'integration'>,
  isStopping: () => boolean,
): Promise<boolean> {
  const by = origin === 'manual' ? 'operator' : 'person'
  const endMs = performance.now() + WAIT_LIMIT_MS
  while (!isStopping()) {
    if (await takeCodePace(db, integration, by)) return true
    if (performance.now() > endMs) return false
    await delay(RETRY_MS)
  }
  return false
}
