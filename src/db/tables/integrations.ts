import type { ColumnType, Generated } from 'kysely'
import type { ProviderName } from '../../provider/profile-table.ts'
import type { GeneratedTime } from './generated-time.ts'

type State = 'running' | 'paused' | 'halted'

/** The credentials at each provider, and the pace of their use. */
export interface IntegrationTables {
  amo_integrations: {
    name: string
    provider: ProviderName
    clientId: string
    clientSecret: string
    nextClientSecret: string | null
    provenSecret: string | null
    redirectUri: string
    profile: ColumnType<Record<string, unknown>, string | undefined, string>
    sandboxOrigin: string | null
    acceptsInstalls: Generated<boolean>
    external: Generated<boolean>
    provisionalUntil: Date | null
    state: Generated<State>
    stateReason: string | null
    lastErrorCode: string | null
    lastErrorAt: Date | null
    condemnedAt: Generated<Date[]>
    envDigest: string | null
    pacePerSecond: Generated<number>
    hasOwnPace: Generated<boolean>
    paceTokens: Generated<number>
    paceAt: GeneratedTime
    codeTokens: Generated<number>
    codeAt: GeneratedTime
    createdAt: GeneratedTime
    updatedAt: GeneratedTime
  }
}
