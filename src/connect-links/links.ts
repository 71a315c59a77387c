import { randomBytes } from 'node:crypto'
import { type Kysely, type Selectable, sql, type Transaction } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { SignedSeed } from '../db/tables/onboarding.ts'
import type { Tables } from '../db/tables.ts'
import type { Integrations } from '../integrations/directory.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import { BrokerError } from '../lib/errors.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'

const TOKEN_BYTES = 24
/** Long enough to mail a link to the account's owner. */
const LINK_LIFETIME_SECONDS = 7 * 24 * 3600

const MAX_RECONNECT_LINKS = 10_000

type Mode = Selectable<Tables['amo_connect_links']>['mode']

export interface LinkOrder {
  integration: string
  mode: Mode
  /** Id, domain or subdomain of the only account that the link may connect. */
  expectedAccount: string | undefined
  /** Origin of the page that opens the link in a window and receives the outcome. */
  openerOrigin?: string | undefined
  createdBy: string
}

/** `integration` null: a button will create it. */
export interface ConnectLink
  extends Pick<
    Selectable<Tables['amo_connect_links']>,
    'id' | 'integration' | 'mode' | 'expectedAccount' | 'openerOrigin'
  > {
  isUsed: boolean
  isExpired: boolean
}

interface StoredLink {
  id: string
  url: string
  expiresAt: Date
}

/**
 * Creates and finds the links that lead a person to the provider's consent page. Only hashes are
 * stored. Opening a link does not use it up, because previews in mail and chat open links too. A
 * completed onboarding does.
 */
export class ConnectLinks {
  readonly #database: Database
  readonly #integrations: Integrations
  readonly #hash: KeyedHash
  /** URLs of links that are in the table, by account, generation and week. */
  readonly #reconnect = new LRUCache<string, string>({ max: MAX_RECONNECT_LINKS })

  constructor(database: Database, integrations: Integrations, hash: KeyedHash) {
    this.#database = database
    this.#integrations = integrations
    this.#hash = hash
  }

  /** Creates a link, and records the act with it. Throws `integration_not_found`. */
  async create(order: LinkOrder, act: Act): Promise<StoredLink> {
    const { db } = this.#database
    const token = randomBytes(TOKEN_BYTES).toString('base64url')
    return db.transaction().execute(async (trx) => {
      const link = await this.#store(trx, token, order)
      await act.record(trx)
      return link
    })
  }

  /**
   * Returns the link for an account that must be authorized again: the same link to all callers for
   * a week.
   */
  async reconnectUrl(key: AccountKey, generation: number): Promise<string> {
    const week = Math.floor(Date.now() / 1000 / LINK_LIFETIME_SECONDS)
    const name = `${keyText(key)}/${generation}/${week}`
    const known = this.#reconnect.get(name)
    if (known !== undefined) return known
    const { url } = await this.#store(this.#database.db, this.#hash.of(name), {
      integration: key.integration,
      mode: 'popup',
      expectedAccount: String(key.accountId),
      createdBy: 'broker',
    })
    this.#reconnect.set(name, url)
    return url
  }

  async find(token: string): Promise<ConnectLink | undefined> {
    return this.#findWhere(sql`"tokenHash" = ${this.#hash.of(token)}`)
  }

  async findById(id: string): Promise<ConnectLink | undefined> {
    return this.#findWhere(sql`id = ${id}`)
  }

  async #findWhere(condition: ReturnType<typeof sql>): Promise<ConnectLink | undefined> {
    const { rows } = await sql<ConnectLink>`
      select id, integration, mode, "expectedAccount", "openerOrigin", "usedAt" is not null as "isUsed",
        "expiresAt" <= now() as "isExpired"
      from amo_connect_links where ${condition}
    `.execute(this.#database.db)
    return rows[0]
  }

  async #store(db: Kysely<Tables>, token: string, order: LinkOrder): Promise<StoredLink> {
    const integration = await this.#integrations.load(order.integration)
    const { rows } = await sql<{ id: string; expiresAt: Date }>`
      insert into amo_connect_links
        ("tokenHash", integration, mode, "expectedAccount", "openerOrigin", "createdBy", "expiresAt")
      values (${this.#hash.of(token)}, ${order.integration}, ${order.mode},
        ${order.expectedAccount ?? null}, ${order.openerOrigin ?? null}, ${order.createdBy},
        now() + ${LINK_LIFETIME_SECONDS} * interval '1 second')
      on conflict ("tokenHash") do update set "createdAt" = amo_connect_links."createdAt"
      returning id, "expiresAt"
    `.execute(db)
    const [row] = rows
    if (row === undefined) throw new BrokerError('internal_error', 'The link was not stored.')
    // On the origin of the redirect URI, because the callback needs the cookie that is set here.
    return { url: new URL(`/connect/${token}`, integration.redirectUri).href, ...row }
  }
}

/** Stores the link of a button that will create its integration. It has no URL to open. */
export async function storeExternalLink(
  db: Kysely<Tables>,
  tokenHash: string,
  order: Omit<LinkOrder, 'integration'>,
  seed: SignedSeed,
): Promise<{ id: string; expiresAt: Date }> {
  return db
    .insertInto('amo_connect_links')
    .values({
      tokenHash,
      external: JSON.stringify(seed),
      mode: order.mode,
      expectedAccount: order.expectedAccount ?? null,
      openerOrigin: order.openerOrigin ?? null,
      createdBy: order.createdBy,
      expiresAt: sql<Date>`now() + ${LINK_LIFETIME_SECONDS} * interval '1 second'`,
    })
    .returning(['id', 'expiresAt'])
    .executeTakeFirstOrThrow()
}

/**
 * Marks a link as used by an account.
 *
 * @returns False when it has connected another account before.
 */
export async function useLink(
  trx: Transaction<Tables>,
  id: string,
  accountId: number,
): Promise<boolean> {
  const { rows } = await sql`
    update amo_connect_links
    set "usedAt" = coalesce("usedAt", now()), "usedByAccountId" = ${accountId}
    where id = ${id} and ("usedAt" is null or "usedByAccountId" = ${accountId})
    returning id
  `.execute(trx)
  return rows.length === 1
}

/** Returns true when a link names this account, or none. */
export function isExpectedAccount(
  expected: string | null,
  account: { accountId: number; domain: string },
): boolean {
  if (expected === null) return true
  if (/^\d+$/.test(expected)) return Number(expected) === account.accountId
  if (expected.includes('.')) return expected === account.domain
  return account.domain.startsWith(`${expected}.`)
}
