import { setTimeout as delay } from 'node:timers/promises'
import type { Database } from './database.ts'
import type { Heartbeat } from './heartbeat.ts'

/** The echo of the first beat takes milliseconds. */
const ECHO_LIMIT_MS = 2_000
const LOOK_MS = 50

/** No notification can ever arrive, so that every cached token would be stale. */
class NoNotifications extends Error {
  override readonly name = 'NoNotifications'
}

/**
 * Throws `NoNotifications` when notifications of PostgreSQL do not arrive although LISTEN is
 * accepted: a transaction pooler. A LISTEN that only has no connection now is no reason.
 */
export async function requireNotifications(
  database: Database,
  heartbeat: Heartbeat,
): Promise<void> {
  const endMs = performance.now() + ECHO_LIMIT_MS
  while (!heartbeat.isTrusted() && performance.now() < endMs) await delay(LOOK_MS)
  if (heartbeat.isTrusted() || !database.storage.canWrite()) return
  if (await database.hears().catch(() => true)) return
  throw new NoNotifications(
    'no notification arrives: DATABASE_DIRECT_URL, or DATABASE_URL without it, leads through a transaction pooler. Set DATABASE_DIRECT_URL to PostgreSQL itself.',
  )
}
