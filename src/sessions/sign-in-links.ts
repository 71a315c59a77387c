import { randomBytes } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { Identity } from '../db/tables/access.ts'
import type { Tables } from '../db/tables.ts'
import { equalInConstantTime, type KeyedHash } from '../vault/keyed-hash.ts'
import { Secret } from '../vault/secret.ts'
import { identityMac, identityOf } from './identity.ts'

/** 256 bits cannot be guessed. */
const TOKEN_BYTES = 32
/** Long enough to open it in a browser. */
const LIFETIME_SECONDS = 5 * 60

/** Creates and consumes one-time links that sign in to the console. Only hashes are stored. */
export class SignInLinks {
  readonly #database: Database
  readonly #hash: KeyedHash

  constructor(database: Database, hash: KeyedHash) {
    this.#database = database
    this.#hash = hash
  }

  /** Creates the secret part of a link, and records the act with it. */
  async create(identity: Identity, act: Act): Promise<{ token: Secret; expiresAt: Date }> {
    const token = new Secret(randomBytes(TOKEN_BYTES).toString('base64url'))
    const expiresAt = await this.#database.db.transaction().execute(async (trx) => {
      const { rows } = await sql<{ expiresAt: Date }>`
        select date_trunc('milliseconds', now()) + ${LIFETIME_SECONDS} * interval '1 second' as "expiresAt"
      `.execute(trx)
      const [{ expiresAt } = { expiresAt: new Date(0) }] = rows
      const row = { ...identityOf(identity), hash: this.#hash.of(token), expiresAt }
      const mac = identityMac(this.#hash, 'link', row)
      await sql`delete from amo_sign_in_links where "expiresAt" < now()`.execute(trx)
      await trx
        .insertInto('amo_sign_in_links')
        .values({ ...row, mac })
        .execute()
      await act.record(trx)
      return expiresAt
    })
    return { token, expiresAt }
  }

  /**
   * Consumes a link.
   *
   * @returns the identity that signs in; undefined when the link is unknown, used or expired
   */
  async use(trx: Kysely<Tables>, token: string): Promise<Identity | undefined> {
    const row = await trx
      .deleteFrom('amo_sign_in_links')
      .where('hash', '=', this.#hash.of(token))
      .where('expiresAt', '>', sql<Date>`clock_timestamp()`)
      .returningAll()
      .executeTakeFirst()
    if (row === undefined) return undefined
    return equalInConstantTime(identityMac(this.#hash, 'link', row), row.mac)
      ? identityOf(row)
      : undefined
  }
}
