import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { Clock } from '../lib/clock.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'

/** What a pair is stored with. */
export interface CommitContext {
  claims: Kysely<Tables>
  /** The id of this process start, for the steps of an attempt. */
  owner: string
  keyRing: KeyRing
  fingerprints: KeyedHash
  clock: Clock
}
