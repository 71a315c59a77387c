import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { until } from './broker.ts'
import { query } from './database.ts'
import type { TeardownScope } from './teardown-scope.ts'

/** Waits a fixed time in which nothing may happen. Absence has no event that could be awaited. */
export async function nothingHappensFor(ms: number): Promise<void> {
  await delay(ms)
}

export interface RowLock {
  /** Commits, so that the statements which wait for the rows continue. */
  release(): Promise<void>
}

/** Locks the rows that `statement` selects for update or writes, in an open transaction. */
export async function holdRowLock(
  t: TeardownScope,
  url: string,
  statement: string,
): Promise<RowLock> {
  const holder = new pg.Client({ connectionString: url })
  await holder.connect()
  t.teardown(() => holder.end())
  await holder.query('begin')
  await holder.query(statement)
  return {
    async release() {
      await holder.query('commit')
    },
  }
}

/** Waits until `count` statements of the database are blocked by a lock. */
export async function untilBlocked(url: string, count: number): Promise<void> {
  const blocked = `select from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`
  await until(async () => (await query(url, blocked)).length >= count)
}
