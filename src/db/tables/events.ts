import type { ColumnType, Generated, GeneratedAlways } from 'kysely'
import type { EventType } from '../../contract/events.ts'

/** What an event has besides its columns. The names are those of the JSON (docs/events.md). */
interface EventDetail {
  /** Days until it ends, at most. */
  days_left?: number
  ends_at?: string
  breaker?: string
  /** The part of the broker that does not work. */
  part?: string
  client?: string
  key_id?: string
  endpoint?: string
  onboarding?: string
}

/** The events in the order of their publication. */
export interface EventTables {
  amo_events: {
    id: Generated<string>
    inserted: GeneratedAlways<number>
    type: EventType
    at: ColumnType<Date, Date | undefined, never>
    delayed: Generated<boolean>
    integration: string | null
    accountId: number | null
    domain: string | null
    generation: number | null
    state: string | null
    reason: string | null
    detail: ColumnType<EventDetail, string | undefined, never>
    endpointId: string | null
    dedupeKey: string | null
    position: number | null
    accountSequence: number | null
  }
  amo_event_head: {
    onlyRow: Generated<boolean>
    position: Generated<number>
  }
}
