import type { Static } from 'typebox'
import type { AuditRow } from '../../audit/store.ts'
import type { EntrySchema } from '../../contract/audit.ts'

/** Renders an entry for the API and for exports. */
export function entryToJson(row: AuditRow): Static<typeof EntrySchema> {
  const number = (text: string | null) => (text === null ? null : Number(text))
  return {
    id: Number(row.id),
    at: row.at,
    actor: row.actor,
    action: row.action,
    outcome: row.outcome,
    times: Number(row.times),
    integration: row.integration,
    account_id: number(row.accountId),
    generation: number(row.generation),
    detail: JSON.parse(row.detail),
    seq: number(row.seq),
  }
}
