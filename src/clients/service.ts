import type { Transaction } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { Tables } from '../db/tables.ts'
import { BrokerError } from '../errors.ts'
import type { Integrations } from '../integrations/service.ts'
import type { TokenLookup } from '../tokens/lookup.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'
import { type Caller, type Grant, type Role, reachOf } from './caller.ts'
import { mintKey } from './client-key.ts'
import type { ClientDirectory } from './directory.ts'
import {
  type ClientRow,
  findClient,
  findClients,
  insertClient,
  lockClient,
  type StoredKey,
  updateClient,
} from './store.ts'

const DAY_MS = 24 * 3600 * 1000
const PAGE = 100
/** Names that stand for something else in the audit. */
const RESERVED = new Set(['operator', 'broker', 'nobody'])

/** A grant as it is ordered: by account id, domain or subdomain, or `*` for the whole integration. */
export interface GrantOrder {
  integration: string
  account: string
}

export interface ClientOrder {
  name: string
  role: Role
  grants: GrantOrder[]
  /** Undefined: until it is revoked. */
  expiresInDays: number | undefined
}

/** A key, to be shown this once. */
export interface MintedKey {
  client: ClientRow
  key: Secret
  keyId: string
}

export interface ClientsDependencies {
  database: Database
  heartbeat: Heartbeat
  integrations: Integrations
  lookup: TokenLookup
  directory: ClientDirectory
  hash: KeyedHash
}

/** The sibling services that may come in: made, granted, given new keys, revoked. */
export class Clients {
  readonly #with: ClientsDependencies

  constructor(dependencies: ClientsDependencies) {
    this.#with = dependencies
  }

  /** Throws `client_exists`, `bad_request`, and what resolving the grants throws. */
  async create(by: Caller, order: ClientOrder): Promise<MintedKey> {
    if (RESERVED.has(order.name)) throw nameTaken(order.name)
    const grants = await this.#resolve(by, order.role, order.grants)
    const { stored, key } = this.#mint(order.expiresInDays)
    return this.#change(async (trx) => {
      const { name, role } = order
      if (!(await insertClient(trx, { name, role, grants, keys: [stored] }))) throw nameTaken(name)
      return { client: await this.#lock(trx, name), key, keyId: stored.id }
    })
  }

  async list(after = ''): Promise<{ clients: ClientRow[]; next: string | null }> {
    const clients = await findClients(this.#with.database.db, after, PAGE)
    return { clients, next: clients.length === PAGE ? (clients.at(-1)?.name ?? null) : null }
  }

  /** Replaces all grants. Throws `client_not_found`, and what resolving them throws. */
  async setGrants(by: Caller, name: string, orders: GrantOrder[]): Promise<ClientRow> {
    const client = await findClient(this.#with.database.db, name)
    if (client === undefined) throw unknownClient(name)
    const grants = await this.#resolve(by, client.role, orders)
    return this.#change(async (trx) => {
      await this.#lock(trx, name)
      await updateClient(trx, name, { grants })
      return this.#lock(trx, name)
    })
  }

  /**
   * A second key for a client; the newest before it goes on for `overlapSeconds`, older ones end now: never more than two are valid.
   * Throws `client_not_found`.
   */
  async addKey(
    name: string,
    expiresInDays: number | undefined,
    overlapSeconds: number,
  ): Promise<MintedKey> {
    const { stored, key } = this.#mint(expiresInDays)
    const endsAtMs = this.#with.heartbeat.nowMs() + overlapSeconds * 1000
    return this.#change(async (trx) => {
      const { keys } = await this.#lock(trx, name)
      const [newest] = keys.toSorted((a, b) => b.createdAt.localeCompare(a.createdAt))
      const kept = newest === undefined || overlapSeconds === 0 ? [] : [endBy(newest, endsAtMs)]
      await updateClient(trx, name, { keys: [...kept, stored] })
      return { client: await this.#lock(trx, name), key, keyId: stored.id }
    })
  }

  /** Throws `client_not_found`. */
  async removeKey(name: string, keyId: string): Promise<void> {
    await this.#change(async (trx) => {
      const { keys } = await this.#lock(trx, name)
      const kept = keys.filter(({ id }) => id !== keyId)
      if (kept.length === keys.length) {
        throw new BrokerError('client_not_found', `"${name}" has no key "${keyId}".`)
      }
      await updateClient(trx, name, { keys: kept })
    })
  }

  /** For good: the name is not given again. Throws `client_not_found`. */
  async revoke(name: string): Promise<void> {
    await this.#change(async (trx) => {
      await this.#lock(trx, name)
      await updateClient(trx, name, { keys: [], isRevoked: true })
    })
  }

  /** Here it holds as soon as the caller hears of it; the other replicas are notified. */
  async #change<T>(work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    const result = await this.#with.database.db.transaction().execute(work)
    await this.#with.directory.reload()
    return result
  }

  async #lock(trx: Transaction<Tables>, name: string): Promise<ClientRow> {
    const client = await lockClient(trx, name)
    if (client === undefined) throw unknownClient(name)
    return client
  }

  #mint(expiresInDays: number | undefined): { stored: StoredKey; key: Secret } {
    const { id, key } = mintKey()
    const nowMs = this.#with.heartbeat.nowMs()
    const stored = {
      id,
      hash: this.#with.hash.of(key),
      createdAt: new Date(nowMs).toISOString(),
      expiresAt:
        expiresInDays === undefined ? null : new Date(nowMs + expiresInDays * DAY_MS).toISOString(),
    }
    return { stored, key }
  }

  /**
   * What is ordered by domain becomes the account that has it now, for a domain can change hands. An id is taken as it is,
   * also before the account is onboarded.
   */
  async #resolve(by: Caller, role: Role, orders: GrantOrder[]): Promise<Grant[]> {
    if (role !== 'reader' && orders.length > 0) {
      throw new BrokerError('bad_request', `grants: a client of the role ${role} takes none.`)
    }
    const grants: Grant[] = []
    for (const { integration, account } of orders) {
      await this.#with.integrations.load(integration)
      const { accounts, integrations } = reachOf(grants)
      const accountId = account === '*' ? null : await this.#accountId(by, integration, account)
      const isKnown =
        accountId === null
          ? integrations.has(integration)
          : accounts.get(integration)?.has(accountId)
      if (!isKnown) grants.push({ integration, accountId })
    }
    return grants
  }

  async #accountId(by: Caller, integration: string, account: string): Promise<number> {
    if (/^\d+$/.test(account)) return Number(account)
    const { held } = await this.#with.lookup.byName(by, account.toLowerCase(), integration)
    return held.accountId
  }
}

function nameTaken(name: string): BrokerError {
  return new BrokerError('client_exists', `The name "${name}" is taken, or was once.`)
}

function unknownClient(name: string): BrokerError {
  return new BrokerError('client_not_found', `There is no client "${name}".`)
}

function endBy(key: StoredKey, endsAtMs: number): StoredKey {
  const isEarlier = key.expiresAt !== null && Date.parse(key.expiresAt) <= endsAtMs
  return isEarlier ? key : { ...key, expiresAt: new Date(endsAtMs).toISOString() }
}
