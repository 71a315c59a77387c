import type { ColumnType, Generated, GeneratedAlways } from 'kysely'
import type { GeneratedTime } from './generated-time.ts'

type EndpointKind = 'webhook' | 'telegram' | 'slack'

type EndpointLanguage = 'en' | 'ru' | 'uk' | 'es'

type DeliveryKind = 'single' | 'group' | 'flapping'

type DeliveryState = 'pending' | 'delivered' | 'failed' | 'cancelled' | 'grouped'

/** One attempt of a delivery. */
interface DeliveryAttempt {
  at: string
  status?: number
  code?: string
  ms: number
  /** The beginning of the response. */
  excerpt?: string
}

/** The endpoints and what is delivered to them. */
export interface DeliveryTables {
  amo_endpoints: {
    id: Generated<string>
    name: string
    kind: EndpointKind
    target: string
    origin: string
    signingSecret: string | null
    previousSecret: string | null
    previousUntil: Date | null
    language: Generated<EndpointLanguage>
    types: string[] | null
    integrations: string[] | null
    grouped: Generated<boolean>
    state: Generated<'active' | 'disabled'>
    disabledReason: string | null
    failingSince: Date | null
    lastSuccessAt: Date | null
    lastErrorCode: string | null
    createdBy: string
    createdAt: GeneratedTime
    updatedAt: GeneratedTime
  }
  amo_deliveries: {
    id: GeneratedAlways<number>
    endpointId: string
    messageId: string
    kind: Generated<DeliveryKind>
    eventIds: string[]
    integration: string | null
    accountId: number | null
    afterIds: Generated<number[]>
    state: Generated<DeliveryState>
    attempts: Generated<number>
    nextAttemptAt: ColumnType<Date, Date | undefined, Date>
    owner: string | null
    leaseUntil: Date | null
    lastStatus: number | null
    lastError: string | null
    history: ColumnType<DeliveryAttempt[], string | undefined, string>
    createdAt: GeneratedTime
    finishedAt: Date | null
  }
}
