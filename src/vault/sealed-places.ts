import { type AccountKey, keyText } from '../lib/account-key.ts'
import { type BoundFields, boundFields } from './bound-fields.ts'
import type { SealedAt } from './key-ring.ts'

/*
 * Every place where a sealed value is stored. A sealed value opens only in its own place, so a
 * value that is moved or swapped is refused. The values are part of what was encrypted: changing a
 * place makes everything sealed there unreadable.
 */

/** The root of all keyed hashes. */
export const ROOT_SECRET_AT: SealedAt = {
  table: 'amo_deployment',
  row: 'only',
  column: 'rootSecret',
  generation: 0,
}

/** The columns that a client secret is bound to. */
export interface SecretRow extends BoundFields {
  name: string
}

/**
 * A client secret in `amo_integrations`. It is bound to the fields that decide where it is sent: it
 * does not open once one of them was changed without sealing it again.
 */
export function secretAt(
  integration: SecretRow,
  column: 'clientSecret' | 'nextClientSecret',
): SealedAt {
  const row = JSON.stringify([integration.name, ...boundFields(integration)])
  return { table: 'amo_integrations', row, column, generation: 0 }
}

/**
 * The client secret that the provider accepted last, in `amo_integrations`. It is only compared and
 * never sent, so it is bound to the name alone and stays readable when the other fields change.
 */
export function provenSecretAt(name: string): SealedAt {
  return { table: 'amo_integrations', row: name, column: 'provenSecret', generation: 0 }
}

type PairAt = AccountKey & { generation: number }

/** A token in `amo_tokens`. */
export function tokenAt(account: PairAt, column: 'accessToken' | 'refreshToken'): SealedAt {
  return { table: 'amo_tokens', row: keyText(account), column, generation: account.generation }
}

/** A parked pair in `amo_refresh_attempts`. */
export function parkedAt(account: PairAt): SealedAt {
  const { generation } = account
  return { table: 'amo_refresh_attempts', row: keyText(account), column: 'parkedPair', generation }
}

/** A code (`secret`) or the pair that it was exchanged for (`pair`), in `amo_inbox`. */
export function inboxAt(fingerprint: string, column: 'secret' | 'pair'): SealedAt {
  return { table: 'amo_inbox', row: fingerprint, column, generation: 0 }
}

/** The URL of an endpoint, or a secret of a webhook, in `amo_endpoints`. */
export function endpointAt(
  id: string,
  column: 'target' | 'signingSecret' | 'previousSecret',
): SealedAt {
  return { table: 'amo_endpoints', row: id, column, generation: 0 }
}

/**
 * A provider response or a callback on disk under this name, and the copy of a response in Redis.
 */
export function spooledAt(name: string): SealedAt {
  return { table: 'spool', row: name, column: 'answer', generation: 0 }
}

/** A line of the escrow. */
export function escrowAt(place: { deploymentId: string; segment: number; line: number }): SealedAt {
  const row = JSON.stringify([place.deploymentId, place.line])
  return { table: 'escrow', row, column: 'line', generation: place.segment }
}

/**
 * The columns that the place of a sealed value is made of. A row holds those that its table has.
 */
export interface SealedRow extends SecretRow {
  id: string
  integration: string
  accountId: number
  generation: number
  fingerprint: string
}

/** The sealed columns of one table. */
export interface SealedColumns {
  table: string
  /** Null where nothing is stored. */
  columns: string[]
  /** The primary key. Re-sealing walks through the rows in its order. */
  key: string[]
  /** Further columns that `at` needs. A row whose fence has moved meanwhile is not re-sealed. */
  fence: string[]
  at(row: SealedRow, column: string): SealedAt
}

/**
 * Every sealed column of the database. A test looks for columns that are missing here. The root
 * secret comes first.
 */
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
    columns: ['clientSecret', 'nextClientSecret', 'provenSecret'],
    key: ['name'],
    fence: ['provider', 'clientId', 'redirectUri', 'sandboxOrigin', 'profile'],
    at: (row, column) =>
      column === 'provenSecret'
        ? provenSecretAt(row.name)
        : { ...secretAt(row, 'clientSecret'), column },
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
  {
    table: 'amo_endpoints',
    columns: ['target', 'signingSecret', 'previousSecret'],
    key: ['id'],
    fence: [],
    at: ({ id }, column) => ({ ...endpointAt(id, 'target'), column }),
  },
]
