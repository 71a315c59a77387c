import { randomUUID } from 'node:crypto'
import { sql, type Transaction } from 'kysely'
import type { Act } from '../audit/act.ts'
import type { EventType } from '../contract/events.ts'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { insertTestEvent } from '../events/store.ts'
import { BrokerError } from '../lib/errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { endpointAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import { makeSigningSecret } from './signing-secret.ts'
import {
  deleteEndpoint,
  type Endpoint,
  type EndpointChange,
  findEndpoint,
  findEndpoints,
  findSealed,
  insertEndpoint,
  lockEndpoint,
  updateEndpoint,
} from './store.ts'
import { checkTarget, type EndpointKind, type TargetOrder, targetFrom } from './target.ts'

type Language = Row<'amo_endpoints'>['language']

/** What an operator can choose and change. */
export interface EndpointSettings {
  target: TargetOrder
  language?: Language | undefined
  /** Null: all types. */
  types?: EventType[] | null | undefined
  /** Null: all integrations. */
  integrations?: string[] | null | undefined
  /** True: one message reports the loss of many accounts. */
  grouped?: boolean | undefined
}

interface EndpointOrder extends EndpointSettings {
  name: string
  kind: EndpointKind
  createdBy: string
}

/** An endpoint, and the secret of a webhook, to be shown only this once. */
export interface WithSecret {
  endpoint: Endpoint
  signingSecret: Secret | null
}

interface EndpointsDependencies {
  database: Database
  keyRing: KeyRing
  /** ENDPOINTS_ALLOW_PRIVATE. */
  mayBePrivate: boolean
}

/** Manages the endpoints that events are delivered to. Every act is audited. */
export class Endpoints {
  readonly #with: EndpointsDependencies

  constructor(dependencies: EndpointsDependencies) {
    this.#with = dependencies
  }

  /** Returns all endpoints in the order of their names. */
  list(): Promise<Endpoint[]> {
    return findEndpoints(this.#with.database.db)
  }

  /** Returns one endpoint. Throws `endpoint_not_found`. */
  async get(name: string): Promise<Endpoint> {
    return known(name, await findEndpoint(this.#with.database.db, name))
  }

  /** Creates an endpoint. Throws `endpoint_exists`, `bad_request`. */
  async create(order: EndpointOrder, act: Act): Promise<WithSecret> {
    const { name, kind, createdBy } = order
    const url = targetFrom(kind, order.target)
    await checkTarget(url, this.#with.mayBePrivate)
    const id = randomUUID()
    const signingSecret = kind === 'webhook' ? makeSigningSecret() : null
    const endpoint = {
      ...{ id, name, kind, createdBy },
      // A program reads each event; a person reads one message about many.
      grouped: kind !== 'webhook',
      ...settingsOf(order),
      ...this.#sealTarget(id, url),
      signingSecret: signingSecret && this.#seal(id, 'signingSecret', signingSecret),
    }
    return this.#change(act, async (trx) => {
      if (!(await insertEndpoint(trx, endpoint))) {
        throw new BrokerError('endpoint_exists', `There is an endpoint "${name}" already.`)
      }
      return { endpoint: known(name, await findEndpoint(trx, name)), signingSecret }
    })
  }

  /** Changes the given settings. Throws `endpoint_not_found`, `bad_request`, `key_missing`. */
  async change(name: string, settings: EndpointSettings, act: Act): Promise<Endpoint> {
    const isMoved = Object.values(settings.target).some((value) => value !== undefined)
    // A name is resolved while nothing is locked.
    const target = isMoved ? await this.#movedTarget(name, settings.target) : {}
    return this.#edit(name, act, () => ({ ...settingsOf(settings), ...target }))
  }

  /**
   * Makes a new secret of a webhook. Messages are signed with both for `overlapSeconds`. Throws
   * `endpoint_not_found`, `bad_request`.
   */
  async rotateSecret(name: string, overlapSeconds: number, act: Act): Promise<WithSecret> {
    const signingSecret = makeSigningSecret()
    const endpoint = await this.#edit(name, act, ({ id, kind, signingSecret: old }) => {
      if (kind !== 'webhook' || old === null) {
        throw new BrokerError('bad_request', `An endpoint of the kind ${kind} has no secret.`)
      }
      const { keyRing } = this.#with
      const previous = keyRing.open(old, endpointAt(id, 'signingSecret'))
      return {
        signingSecret: this.#seal(id, 'signingSecret', signingSecret),
        previousSecret: overlapSeconds === 0 ? null : this.#seal(id, 'previousSecret', previous),
        previousUntil: overlapSeconds === 0 ? null : inSeconds(overlapSeconds),
      }
    })
    return { endpoint, signingSecret }
  }

  /** Disables an endpoint: nothing is sent until it is enabled. Throws `endpoint_not_found`. */
  disable(name: string, act: Act): Promise<Endpoint> {
    return this.#edit(name, act, () => ({ state: 'disabled', disabledReason: 'operator' }))
  }

  /** Enables an endpoint and sends the messages that waited. Throws `endpoint_not_found`. */
  enable(name: string, act: Act): Promise<Endpoint> {
    return this.#edit(name, act, () => ({
      ...{ state: 'active', disabledReason: null, failingSince: null, lastErrorCode: null },
    }))
  }

  /** Removes an endpoint with its deliveries. Throws `endpoint_not_found`. */
  async remove(name: string, act: Act): Promise<void> {
    await this.#change(act, async (trx) => {
      const { id } = known(name, await lockEndpoint(trx, name))
      await deleteEndpoint(trx, id)
    })
  }

  /**
   * Sends a test message through the same way as every event. Returns the event's id. Throws
   * `endpoint_not_found`, `endpoint_disabled`.
   */
  async test(name: string, act: Act): Promise<string> {
    return this.#change(act, async (trx) => {
      const { id, state } = known(name, await lockEndpoint(trx, name))
      if (state === 'disabled') {
        throw new BrokerError('endpoint_disabled', `Nothing is sent to "${name}".`)
      }
      return insertTestEvent(trx, id, name)
    })
  }

  #edit(
    name: string,
    act: Act,
    changeOf: (endpoint: Row<'amo_endpoints'>) => EndpointChange,
  ): Promise<Endpoint> {
    return this.#change(act, async (trx) => {
      const endpoint = known(name, await lockEndpoint(trx, name))
      await updateEndpoint(trx, endpoint.id, changeOf(endpoint))
      return known(name, await findEndpoint(trx, name))
    })
  }

  /** Changes endpoints and records the act. */
  #change<T>(act: Act, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    return this.#with.database.db.transaction().execute(async (trx) => {
      const done = await work(trx)
      await act.record(trx)
      return done
    })
  }

  async #movedTarget(name: string, order: TargetOrder) {
    const { database, keyRing, mayBePrivate } = this.#with
    const { id, kind, target } = known(name, await findSealed(database.db, name))
    const present = keyRing.open(target, endpointAt(id, 'target'))
    const url = targetFrom(kind, order, new URL(present.reveal()))
    await checkTarget(url, mayBePrivate)
    return this.#sealTarget(id, url)
  }

  #sealTarget(id: string, url: URL) {
    const { keyRing } = this.#with
    return { target: keyRing.seal(url.href, endpointAt(id, 'target')), origin: url.origin }
  }

  #seal(id: string, column: 'signingSecret' | 'previousSecret', secret: Secret): string {
    return this.#with.keyRing.seal(secret, endpointAt(id, column))
  }
}

/** Leaves out the settings that are not given. */
function settingsOf({ language, types, integrations, grouped }: EndpointSettings): EndpointChange {
  return {
    ...(language !== undefined && { language }),
    ...(types !== undefined && { types }),
    ...(integrations !== undefined && { integrations }),
    ...(grouped !== undefined && { grouped }),
  }
}

function known<T>(name: string, endpoint: T | undefined): T {
  if (endpoint !== undefined) return endpoint
  throw new BrokerError('endpoint_not_found', `There is no endpoint "${name}".`)
}

function inSeconds(seconds: number) {
  return sql<Date>`clock_timestamp() + ${seconds} * interval '1 second'`
}
