import { appendFileSync } from 'node:fs'
import { verifyHistory } from '../../../src/history/verify-history.ts'
import type { Lane } from './lane.ts'

/** A file that gets a line for each broken rule; see `test/mutants/history.ts`. */
const { HISTORY_FINDINGS } = process.env

/** Only the histories matter: no schedule ends at what else it has broken. */
export const COLLECTS_HISTORIES = HISTORY_FINDINGS !== undefined

/**
 * Returns what is wrong with the history that a schedule has left in the database. A failover that
 * forgets commits forgets records of sends too.
 */
export async function historyViolations(
  { database }: Lane,
  { hadFailover = false } = {},
): Promise<string[]> {
  const { findings } = await database.withDirect((db) => verifyHistory(db, { attemptDays: 30 }))
  const broken = findings.filter(({ rule }) => !hadFailover || rule !== 'send_not_recorded')
  for (const { rule } of broken) {
    if (HISTORY_FINDINGS !== undefined) appendFileSync(HISTORY_FINDINGS, `${rule}\n`)
  }
  return broken.map(
    ({ rule, attempt, detail }) => `history: ${rule}, attempt ${attempt}: ${detail}`,
  )
}
