import type { ColumnType } from 'kysely'
import type { GeneratedTime } from './generated-time.ts'

export type Role = 'reader' | 'monitor' | 'operator'

/** A client's permission to read one account, or all of the integration (`accountId` null). */
export interface Grant {
  integration: string
  accountId: number | null
}

/** A client's key as `amo_clients.keys` stores it. Times are ISO 8601 text. */
export interface StoredKey {
  id: string
  hash: string
  createdAt: string
  /** Null: valid until it is revoked. */
  expiresAt: string | null
}

/** Whose session of the console it is. `sql/202611260440_console_sessions.sql` explains it. */
export interface Identity {
  kind: 'client' | 'operator_key' | 'person'
  name: string
  role: Role
  keyId: string | null
  keyHash: string | null
}

/** Callers of the broker: clients, and sessions of the console. */
export interface AccessTables {
  amo_clients: {
    name: string
    role: Role
    keys: ColumnType<StoredKey[], string, string>
    grants: ColumnType<Grant[], string, string>
    mac: string
    revokedAt: Date | null
    createdAt: GeneratedTime
    updatedAt: GeneratedTime
  }
  amo_sessions: Identity & {
    hash: string
    mac: string
    createdAt: GeneratedTime
    expiresAt: Date
    lastSeenAt: GeneratedTime
  }
  amo_sign_in_links: Identity & {
    hash: string
    mac: string
    createdAt: GeneratedTime
    expiresAt: Date
  }
}
