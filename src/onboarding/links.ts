import { randomBytes } from 'node:crypto'
import { type Kysely, sql, type Transaction } from 'kysely'
import { LRUCache } from 'lru-cache'
import { type AccountKey, keyText } from '../accounts/account-key.ts'
import type { Database } from '../db/database.ts'
import type { ExternalSeed, Tables } from '../db/tables.ts'
import { BrokerError } from '../errors.ts'
import type { Integrations } from '../integrations/service.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'

const TOKEN_BYTES = 24
/** Long enough to be mailed to the account's owner. */
const LINK_LIFETIME_SECONDS = 7 * 24 * 3600

const MAX_RECONNECT_LINKS = 10_000

export type Mode = 'popup' | 'post_message'

export interface LinkOrder {
  integration: string
  mode: Mode
  /** Id, domain or subdomain of the only account that the link is for. */
  expectedAccount: string | undefined
  /** Of the page that opens the link in a window of its own, and is told how it ended. */
  openerOrigin?: string | undefined
  createdBy: string
}

export interface ConnectLink {
  id: string
  /** Null: a button is to make it, and has not yet. */
  integration: string | null
  mode: Mode
  expectedAccount: string | null
  openerOrigin: string | null
  isUsed: boolean
  isExpired: boolean
}

export interface StoredLink {
  id: string
  url: string
  expiresAt: Date
}

/**
 * Links that lead a person to the provider's consent page. Only hashes are stored. Opening one uses nothing up,
 * since previews in mail and chat open links too: the onboarding that it led to does.
 */
export class ConnectLinks {
  readonly #database: Database
  readonly #integrations: Integrations
  readonly #hash: KeyedHash
  /** Links that stand in the table already, by account, generation and week. */
  readonly #reconnect = new LRUCache<string, string>({ max: MAX_RECONNECT_LINKS })

  constructor(database: Database, integrations: Integrations, hash: KeyedHash) {
    this.#database = database
    this.#integrations = integrations
    this.#hash = hash
  }

  /** Throws `integration_not_found`. */
  async create(order: LinkOrder): Promise<StoredLink> {
    return this.#store(randomBytes(TOKEN_BYTES).toString('base64url'), order)
  }

  /** The link for an account that must be authorized again: the same one for a week, whoever asks. */
  async reconnectUrl(key: AccountKey, generation: number): Promise<string> {
    const week = Math.floor(Date.now() / 1000 / LINK_LIFETIME_SECONDS)
    const name = `${keyText(key)}/${generation}/${week}`
    const known = this.#reconnect.get(name)
    if (known !== undefined) return known
    const { url } = await this.#store(this.#hash.of(name), {
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

  async #store(token: string, order: LinkOrder): Promise<StoredLink> {
    const integration = await this.#integrations.load(order.integration)
    const { rows } = await sql<{ id: string; expiresAt: Date }>`
      insert into amo_connect_links
        ("tokenHash", integration, mode, "expectedAccount", "openerOrigin", "createdBy", "expiresAt")
      values (${this.#hash.of(token)}, ${order.integration}, ${order.mode},
        ${order.expectedAccount ?? null}, ${order.openerOrigin ?? null}, ${order.createdBy},
        now() + ${LINK_LIFETIME_SECONDS} * interval '1 second')
      on conflict ("tokenHash") do update set "createdAt" = amo_connect_links."createdAt"
      returning id, "expiresAt"
    `.execute(this.#database.db)
    const [row] = rows
    if (row === undefined) throw new BrokerError('internal_error', 'The link was not stored.')
    // On the origin of the redirect URI: the cookie that is set here must come along to the callback.
    return { url: new URL(`/connect/${token}`, integration.redirectUri).href, ...row }
  }
}

/** A link for a button that makes its integration: it has none yet, and its URL leads nowhere. */
export async function storeExternalLink(
  db: Kysely<Tables>,
  tokenHash: string,
  order: Omit<LinkOrder, 'integration'>,
  seed: ExternalSeed,
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

/** Uses a link up for an account. False: it connected another one before. */
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

/** Whether an account is the one that a link names. */
export function isExpectedAccount(
  expected: string | null,
  account: { accountId: number; domain: string },
): boolean {
  if (expected === null) return true
  if (/^\d+$/.test(expected)) return Number(expected) === account.accountId
  if (expected.includes('.')) return expected === account.domain
  return account.domain.startsWith(`${expected}.`)
}
