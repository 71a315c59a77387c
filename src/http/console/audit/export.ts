import type { AuditRow } from '../../../audit/store.ts'

export const CSV_HEADER = [
  'id',
  'at',
  'actor',
  'action',
  'outcome',
  'times',
  'integration',
  'account_id',
  'generation',
  'detail',
  'seq',
] as const

/** Returns an entry in the order of `CSV_HEADER`. */
export function csvCells(row: AuditRow) {
  const { id, at, actor, action, outcome, times, integration, accountId, generation } = row
  return [
    id,
    at,
    actor,
    action,
    outcome,
    times,
    integration,
    accountId,
    generation,
    row.detail,
    row.seq,
  ]
}
