import { randomBytes } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { Act } from '../audit/act.ts'
import { type Caller, OPERATOR, reachOf } from '../clients/caller.ts'
import type { ClientDirectory } from '../clients/directory.ts'
import type { Database } from '../db/database.ts'
import { isStorageFailure } from '../db/failures.ts'
import type { Identity } from '../db/tables/access.ts'
import type { Tables } from '../db/tables.ts'
import { BrokerError } from '../lib/errors.ts'
import { withTimeout } from '../lib/with-timeout.ts'
import { equalInConstantTime, type KeyedHash } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'
import { identityMac, identityOf } from './identity.ts'

const TOKEN_BYTES = 32
const TOKEN = /^[\w-]{43}$/
/** A session lasts for a working day. */
export const SESSION_SECONDS = 12 * 3600
const IDLE_MS = 30 * 60_000
/** The time of the last visit is written at most this often. */
const SEEN_MS = 60_000
/** How long a verified session is trusted while PostgreSQL does not answer. */
const TRUSTED_MS = 15 * 60_000
const READ_LIMIT_MS = 1_000
/** Far more than there are operators. */
const MAX_REMEMBERED = 1_000

/** A session that is valid now. */
export interface Session {
  caller: Caller
  kind: Identity['kind']
  expiresAt: Date
  /** True while PostgreSQL does not answer: the session is trusted from memory and read-only. */
  isFromMemory: boolean
}

interface Remembered {
  row: SessionRow
  verifiedAtMs: number
  seenAtMs: number
}

type SessionRow = Identity & { hash: string; expiresAt: Date }

interface SessionsDependencies {
  database: Database
  directory: ClientDirectory
  hash: KeyedHash
  /** Null: nobody can sign in with it. */
  operatorKey: Secret | null
}

/**
 * Opens, verifies and ends sessions of the console. Only keyed hashes of their tokens are stored.
 */
export class Sessions {
  readonly #database: Database
  readonly #directory: ClientDirectory
  readonly #hash: KeyedHash
  readonly #operatorKey: Secret | null
  readonly #remembered = new LRUCache<string, Remembered>({ max: MAX_REMEMBERED })

  constructor({ database, directory, hash, operatorKey }: SessionsDependencies) {
    this.#database = database
    this.#directory = directory
    this.#hash = hash
    this.#operatorKey = operatorKey
  }

  /**
   * Returns the identity that signs in with a key. Throws `storage_unavailable`, and `forbidden`
   * for a client that may not use the console.
   *
   * @returns undefined when the key is not valid
   */
  async identify(key: string): Promise<Identity | undefined> {
    const client = await this.#directory.authenticate(key)
    if (client !== undefined) return this.identityOfCaller(client)
    const isOperator =
      this.#operatorKey !== null && equalInConstantTime(key, this.#operatorKey.reveal())
    return isOperator ? this.identityOfCaller(OPERATOR) : undefined
  }

  /** Returns the identity under which a caller of the API signs in. Throws `forbidden`. */
  identityOfCaller({ name, role, keyId }: Caller): Identity {
    if (role === 'reader') {
      throw new BrokerError('forbidden', `"${name}" is a reader: only monitors and operators may.`)
    }
    if (keyId !== null) return { kind: 'client', name, role, keyId, keyHash: null }
    return { kind: 'operator_key', name, role, keyId: null, keyHash: this.#operatorKeyHash() }
  }

  /** Opens a session, and records the act with it. Returns the token for the cookie. */
  async open(trx: Kysely<Tables>, identity: Identity, act: Act): Promise<string> {
    const token = randomBytes(TOKEN_BYTES).toString('base64url')
    const { rows } = await sql<{ expiresAt: Date }>`
      select date_trunc('milliseconds', now()) + ${SESSION_SECONDS} * interval '1 second' as "expiresAt"
    `.execute(trx)
    const [{ expiresAt } = { expiresAt: new Date(0) }] = rows
    const row = { ...identityOf(identity), hash: this.#hash.of(token), expiresAt }
    const mac = identityMac(this.#hash, 'session', row)
    await trx
      .insertInto('amo_sessions')
      .values({ ...row, mac })
      .execute()
    await sql`
      delete from amo_sessions
      where "expiresAt" < now() or "lastSeenAt" < now() - ${2 * IDLE_MS} * interval '1 millisecond'
    `.execute(trx)
    await act.record(trx)
    return token
  }

  /**
   * Returns the session of a token. `isVisit` false: a poll, which does not extend it. Throws
   * `storage_unavailable` when nothing is known about the session.
   *
   * @returns undefined when there is none, or it has ended
   */
  async find(token: string, isVisit: boolean): Promise<Session | undefined> {
    if (!TOKEN.test(token)) return undefined
    const hash = this.#hash.of(token)
    const remembered = this.#remembered.get(hash)
    const found = await this.#read(hash)
    if (found === 'unreachable') return this.#recall(remembered, isVisit)
    if (found === undefined) {
      this.#remembered.delete(hash)
      return undefined
    }
    const { nowMs, lastSeenAt, ...row } = found
    // While PostgreSQL is read-only, only this process knows of visits.
    const seenAtMs = Math.max(lastSeenAt.getTime(), remembered?.seenAtMs ?? 0)
    if (nowMs >= row.expiresAt.getTime() || nowMs - seenAtMs > IDLE_MS) return undefined
    if (isVisit && nowMs - lastSeenAt.getTime() > SEEN_MS) this.#recordVisit(hash)
    const verifiedAtMs = performance.now()
    this.#remembered.set(hash, { row, verifiedAtMs, seenAtMs: isVisit ? nowMs : seenAtMs })
    return this.#toSession(row, false)
  }

  /** Ends a session, and records the act with it. */
  async end(token: string, act: Act): Promise<void> {
    const hash = this.#hash.of(token)
    await this.#database.db.transaction().execute(async (trx) => {
      await trx.deleteFrom('amo_sessions').where('hash', '=', hash).execute()
      await act.record(trx)
    })
    this.#remembered.delete(hash)
  }

  async #read(hash: string) {
    if (this.#database.storage.state === 'unreachable') return 'unreachable'
    const reading = this.#database.db
      .selectFrom('amo_sessions')
      .selectAll()
      .select(sql<Date>`clock_timestamp()`.as('now'))
      .where('hash', '=', hash)
      .executeTakeFirst()
      .catch((error: unknown) => {
        if (isStorageFailure(error)) return 'unreachable' as const
        throw error
      })
    const row = await withTimeout(reading, READ_LIMIT_MS, 'unreachable' as const)
    if (row === undefined || row === 'unreachable') return row
    const { now, mac, lastSeenAt, hash: _, createdAt: __, ...rest } = row
    const signed = { ...rest, hash }
    if (!equalInConstantTime(identityMac(this.#hash, 'session', signed), mac)) return undefined
    return { ...signed, lastSeenAt, nowMs: now.getTime() }
  }

  async #recall(remembered: Remembered | undefined, isVisit: boolean) {
    const nowMs = performance.now()
    if (remembered === undefined || nowMs - remembered.verifiedAtMs > TRUSTED_MS) {
      throw new BrokerError('storage_unavailable', 'PostgreSQL does not answer.')
    }
    if (isVisit) remembered.seenAtMs = Date.now()
    if (Date.now() >= remembered.row.expiresAt.getTime()) return undefined
    return this.#toSession(remembered.row, true)
  }

  async #toSession(row: SessionRow, isFromMemory: boolean): Promise<Session | undefined> {
    const caller = await this.#callerOf(row)
    if (caller === undefined) return undefined
    return { caller, kind: row.kind, expiresAt: row.expiresAt, isFromMemory }
  }

  async #callerOf({ kind, name, role, keyId, keyHash }: SessionRow): Promise<Caller | undefined> {
    if (kind === 'person') return { name, role, reach: reachOf([]), keyId: null }
    if (kind === 'operator_key') {
      return keyHash !== null && keyHash === this.#operatorKeyHash() ? OPERATOR : undefined
    }
    const client = keyId === null ? undefined : await this.#directory.findByKey(keyId)
    return client?.name === name && client.role !== 'reader' ? client : undefined
  }

  #operatorKeyHash(): string | null {
    if (this.#operatorKey === null) return null
    return this.#hash.of(JSON.stringify(['operator-key', this.#operatorKey.reveal()]))
  }

  /** Writes in the background, so that it neither delays nor fails a page. */
  #recordVisit(hash: string): void {
    this.#database.db
      .updateTable('amo_sessions')
      .set({ lastSeenAt: sql`clock_timestamp()` })
      .where('hash', '=', hash)
      .where(
        'lastSeenAt',
        '<',
        sql<Date>`clock_timestamp() - ${SEEN_MS} * interval '1 millisecond'`,
      )
      .execute()
      .catch(() => {})
  }
}
