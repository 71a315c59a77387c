import { tokenAt } from '../accounts/sealed-tokens.ts'
import { ROOT_SECRET_AT } from '../db/deployment.ts'
import { secretAt } from '../integrations/store.ts'
import { inboxAt } from '../onboarding/inbox.ts'
import { parkedAt } from '../refresh/parking.ts'
import type { SealedAt } from '../vault/key-ring.ts'

/** A row as it comes: what of it is used is what `columns`, `key` and `fence` of its table name. */
export interface SealedRow {
  name: string
  integration: string
  accountId: number
  generation: number
  fingerprint: string
}

/** Where sealed values stand in a table, and what opens them there. */
export interface SealedColumns {
  table: string
  /** Sealed ones; null where there is nothing to hide. */
  columns: string[]
  /** The primary key: rows are walked through in its order. */
  key: string[]
  /** What else the sealed place is made of. */
  fence: string[]
  at(row: SealedRow, column: string): SealedAt
}

/** Every sealed value in the database; a test looks for columns that are missing here. The root secret comes first. */
export const SEALED_COLUMNS: readonly SealedColumns[] = [
  {
    table: 'amo_deployment',
    columns: ['rootSecret'],
    key: ['onlyRow'],
    fence: [],
    at: () => ROOT_SECRET_AT,
  },
  {
    table: 'amo_integrations',
    columns: ['clientSecret', 'nextClientSecret'],
    key: ['name'],
    fence: [],
    at: ({ name }, column) => ({ ...secretAt(name, 'clientSecret'), column }),
  },
  {
    table: 'amo_tokens',
    columns: ['accessToken', 'refreshToken'],
    key: ['integration', 'accountId'],
    fence: ['generation'],
    at: (row, column) => ({ ...tokenAt(row, 'accessToken'), column }),
  },
  {
    table: 'amo_refresh_attempts',
    columns: ['parkedPair'],
    key: ['id'],
    fence: ['integration', 'accountId', 'generation'],
    at: (row) => parkedAt(row),
  },
  {
    table: 'amo_inbox',
    columns: ['secret', 'pair'],
    key: ['id'],
    fence: ['fingerprint'],
    at: ({ fingerprint }, column) => ({ ...inboxAt(fingerprint, 'secret'), column }),
  },
]
