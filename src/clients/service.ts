import type { Transaction } from 'kysely'
import type { Act } from '../audit/act.ts'
import { accountsByName } from '../db/accounts-by-name.ts'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { Grant, Role, StoredKey } from '../db/tables/access.ts'
import type { Tables } from '../db/tables.ts'
import type { Integrations } from '../integrations/directory.ts'
import { BrokerError } from '../lib/errors.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'
import { reachOf } from './caller.ts'
import { mintKey } from './client-key.ts'
import type { ClientDirectory } from './directory.ts'
import { isAuthentic, keyHashOf } from './signature.ts'
import {
  type ClientRow,
  findClient,
  findClients,
  insertClient,
  lockClient,
  updateClient,
} from './store.ts'

const DAY_MS = 24 * 3600 * 1000
const PAGE = 100
/** The audit uses these names for other actors. */
const RESERVED = new Set(['operator', 'broker', 'database', 'nobody', 'system'])

/**
 * A requested grant: `account` is an account id, domain or subdomain, or `*` for the whole
 * integration.
 */
interface GrantOrder {
  integration: string
  account: string
}

interface ClientOrder {
  name: string
  role: Role
  grants: GrantOrder[]
  /** If it is undefined, the key is valid until it is revoked. */
  expiresInDays: number | undefined
}

/** A new key, to be shown only this once. */
export interface MintedKey {
  client: ClientRow
  key: Secret
  keyId: string
}

interface ClientsDependencies {
  database: Database
  heartbeat: Heartbeat
  integrations: Integrations
  directory: ClientDirectory
  hash: KeyedHash
}

/** Manages the sibling services that may call the broker: their grants and keys. */
export class Clients {
  readonly #with: ClientsDependencies

  constructor(dependencies: ClientsDependencies) {
    this.#with = dependencies
  }

  /**
   * Creates a client with its first key. Throws `client_exists`, `bad_request`, and what `#resolve`
   * throws.
   */
  async create(order: ClientOrder, act: Act): Promise<MintedKey> {
    if (RESERVED.has(order.name)) throw nameTaken(order.name)
    const grants = await this.#resolve(order.role, order.grants)
    const { stored, key } = this.#mint(order.name, order.expiresInDays)
    return this.#change(act, async (trx) => {
      const { name, role } = order
      const { hash } = this.#with
      if (!(await insertClient(trx, hash, { name, role, grants, keys: [stored] })))
        throw nameTaken(name)
      return { client: await this.#lock(trx, name), key, keyId: stored.id }
    })
  }

  /** Returns one page of clients in the order of their names, those after `after`. */
  async list(after = ''): Promise<{ clients: ClientRow[]; next: string | null }> {
    const clients = await findClients(this.#with.database.db, after, PAGE)
    return { clients, next: clients.length === PAGE ? (clients.at(-1)?.name ?? null) : null }
  }

  /** Replaces all grants. Throws `client_not_found`, and what `#resolve` throws. */
  async setGrants(name: string, orders: GrantOrder[], act: Act): Promise<ClientRow> {
    const client = await findClient(this.#with.database.db, name)
    if (client === undefined) throw unknownClient(name)
    const grants = await this.#resolve(client.role, orders)
    return this.#change(act, async (trx) => {
      await updateClient(trx, this.#with.hash, await this.#lock(trx, name), { grants })
      return this.#lock(trx, name)
    })
  }

  /**
   * Adds a key. The newest previous key stays valid for `overlapSeconds`; older keys end now, so
   * that at most two are valid. Throws `client_not_found`.
   */
  async addKey(
    name: string,
    expiresInDays: number | undefined,
    overlapSeconds: number,
    act: Act,
  ): Promise<MintedKey> {
    const { stored, key } = this.#mint(name, expiresInDays)
    const endsAtMs = this.#with.heartbeat.nowMs() + overlapSeconds * 1000
    return this.#change(act, async (trx) => {
      const client = await this.#lock(trx, name)
      const [newest] = client.keys.toSorted((a, b) => b.createdAt.localeCompare(a.createdAt))
      const previous = newest === undefined || overlapSeconds === 0 ? [] : [endBy(newest, endsAtMs)]
      await updateClient(trx, this.#with.hash, client, { keys: [...previous, stored] })
      return { client: await this.#lock(trx, name), key, keyId: stored.id }
    })
  }

  /** Ends one key. Throws `client_not_found`. */
  async removeKey(name: string, keyId: string, act: Act): Promise<void> {
    await this.#change(act, async (trx) => {
      const client = await this.#lock(trx, name)
      const keys = client.keys.filter(({ id }) => id !== keyId)
      if (keys.length === client.keys.length) {
        throw new BrokerError('client_not_found', `"${name}" has no key "${keyId}".`)
      }
      await updateClient(trx, this.#with.hash, client, { keys })
    })
  }

  /**
   * Ends all keys of a client for good. Its name cannot be used again. Throws `client_not_found`.
   */
  async revoke(name: string, act: Act): Promise<void> {
    await this.#change(act, async (trx) => {
      const client = await lockClient(trx, name)
      if (client === undefined) throw unknownClient(name)
      await updateClient(trx, this.#with.hash, client, { keys: [], isRevoked: true })
    })
  }

  /**
   * Changes clients and records the act. On this replica the change holds when this resolves; other
   * replicas are notified.
   */
  async #change<T>(act: Act, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    const result = await this.#with.database.db.transaction().execute(async (trx) => {
      const done = await work(trx)
      await act.record(trx)
      return done
    })
    await this.#with.directory.reload()
    return result
  }

  /** An altered client is not changed, because that would sign what was altered. */
  async #lock(trx: Transaction<Tables>, name: string): Promise<ClientRow> {
    const client = await lockClient(trx, name)
    if (client === undefined) throw unknownClient(name)
    if (isAuthentic(this.#with.hash, client)) return client
    const detail = `"${name}" was altered in the database. Revoke it and create another client.`
    throw new BrokerError('client_not_found', detail)
  }

  #mint(name: string, expiresInDays: number | undefined): { stored: StoredKey; key: Secret } {
    const { id, key } = mintKey()
    const nowMs = this.#with.heartbeat.nowMs()
    const stored = {
      id,
      hash: keyHashOf(this.#with.hash, name, key),
      createdAt: new Date(nowMs).toISOString(),
      expiresAt:
        expiresInDays === undefined ? null : new Date(nowMs + expiresInDays * DAY_MS).toISOString(),
    }
    return { stored, key }
  }

  /**
   * Replaces domains and subdomains by the id of the account that has them now, because a domain
   * can change hands. An id is taken as it is, even before the account is onboarded.
   * Throws `bad_request`, `integration_not_found`, `account_not_found`, `ambiguous_account`.
   */
  async #resolve(role: Role, orders: GrantOrder[]): Promise<Grant[]> {
    if (role !== 'reader' && orders.length > 0) {
      throw new BrokerError('bad_request', `grants: a client with the role ${role} has none.`)
    }
    const grants: Grant[] = []
    for (const { integration, account } of orders) {
      await this.#with.integrations.load(integration)
      const { accounts, integrations } = reachOf(grants)
      const accountId = account === '*' ? null : await this.#accountId(integration, account)
      const isKnown =
        accountId === null
          ? integrations.has(integration)
          : accounts.get(integration)?.has(accountId)
      if (!isKnown) grants.push({ integration, accountId })
    }
    return grants
  }

  async #accountId(integration: string, account: string): Promise<number> {
    if (/^\d+$/.test(account)) return Number(account)
    const name = account.toLowerCase()
    const found = await accountsByName(this.#with.database.db, name)
      .select('accountId')
      .where('integration', '=', integration)
      .execute()
    const [first] = found
    if (first === undefined) {
      throw new BrokerError('account_not_found', `No account is known as "${name}".`)
    }
    if (found.length > 1) {
      const detail = `"${name}" fits ${found.length} accounts of "${integration}".`
      throw new BrokerError('ambiguous_account', detail)
    }
    return first.accountId
  }
}

function nameTaken(name: string): BrokerError {
  return new BrokerError('client_exists', `The name "${name}" is in use, or was used before.`)
}

function unknownClient(name: string): BrokerError {
  return new BrokerError('client_not_found', `There is no client "${name}".`)
}

function endBy(key: StoredKey, endsAtMs: number): StoredKey {
  const isEarlier = key.expiresAt !== null && Date.parse(key.expiresAt) <= endsAtMs
  return isEarlier ? key : { ...key, expiresAt: new Date(endsAtMs).toISOString() }
}
