import type { ColumnType, Generated, GeneratedAlways } from 'kysely'
import type { GeneratedTime } from './generated-time.ts'

/** The audit log and the head of its chain. */
export interface AuditTables {
  amo_audit: {
    id: GeneratedAlways<number>
    at: GeneratedTime
    actor: string
    action: string
    integration: string | null
    accountId: number | null
    generation: number | null
    outcome: string
    times: Generated<number>
    detail: ColumnType<Record<string, unknown>, string, never>
    mac: string | null
    seq: number | null
  }
  amo_audit_head: {
    onlyRow: Generated<boolean>
    seq: number
    mac: string
    cutSeq: number
    cutMac: string
    cutSignature: string
  }
}
