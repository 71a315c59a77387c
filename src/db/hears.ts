import { randomUUID } from 'node:crypto'
import { withTimeout } from '../lib/with-timeout.ts'
import type { BoundedClient } from './session.ts'

const LIMIT_MS = 3_000

/**
 * Returns whether a session hears what another one notifies. A transaction pooler accepts LISTEN
 * and gives the notification to nobody. Throws when one of them has no connection.
 */
export async function hears(connect: () => BoundedClient): Promise<boolean> {
  const [listener, notifier] = [connect(), connect()]
  try {
    await Promise.all([listener.connect(), notifier.connect()])
    const channel = `amo_${randomUUID().replaceAll('-', '')}`
    const heard = new Promise<true>((resolve) => listener.once('notification', () => resolve(true)))
    await listener.query(`listen ${channel}`)
    await notifier.query(`notify ${channel}`)
    const isHeard = await withTimeout(heard, LIMIT_MS, false)
    // A session that is cut off hears nothing either.
    await listener.query('select 1')
    return isHeard
  } finally {
    for (const client of [listener, notifier]) client.end().catch(() => {})
  }
}
