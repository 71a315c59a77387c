import type { Transaction } from 'kysely'
import type { Logger } from 'pino'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { BrokerError } from '../lib/errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Secret } from '../vault/secret.ts'
import type { Integrations } from './directory.ts'
import {
  checkChange,
  checkProfile,
  hasAccounts,
  type IntegrationOrder,
  insertIntegration,
  removeIntegration,
} from './edit.ts'
import { unknownIntegration } from './integration.ts'
import { setNextSecret } from './next-client-secret.ts'
import { pauseIntegrations, resumeIntegrations, setOwnPace, tryAgainNow } from './store.ts'
import { updateIntegration } from './update-integration.ts'

/** Ends the grants of clients for an integration that is removed. */
type EndGrants = (trx: Transaction<Tables>, integration: string) => Promise<void>

interface ChangesDependencies {
  database: Database
  keyRing: KeyRing
  integrations: Integrations
  endGrants: EndGrants
  /** The pace of an integration without its own: PACE_PER_SECOND. */
  pacePerSecond: number
  log: Logger
}

/** The changes that operators make. Each is recorded in the audit log in its own transaction. */
export class IntegrationChanges {
  readonly #with: ChangesDependencies

  constructor(dependencies: ChangesDependencies) {
    this.#with = dependencies
  }

  /**
   * Stops sending for one integration, or for all. Existing tokens are still served.
   * Throws `integration_not_found`.
   */
  async pause(name: string | undefined, by: string, act: Act): Promise<void> {
    const { integrations } = this.#with
    const chosen = name === undefined ? integrations.all() : [await integrations.load(name)]
    const names = chosen.map((each) => each.name)
    await this.#change(act, (trx) => pauseIntegrations(trx, names, `paused by ${by}`))
  }

  /**
   * Resumes sending for one integration, or for all that were paused. One that halted itself is
   * resumed only by its name. Throws `integration_not_found`.
   */
  async resume(name: string | undefined, by: string, act: Act): Promise<void> {
    const { integrations, log } = this.#with
    const paused = integrations.all().filter(({ state }) => state === 'paused')
    const chosen = name === undefined ? paused : [await integrations.load(name)]
    const names = chosen.map((each) => each.name)
    await this.#change(act, (trx) => resumeIntegrations(trx, names))
    log.info({ integrations: names, by }, 'integrations resumed')
  }

  /**
   * Sets the pace of one integration; null: that of PACE_PER_SECOND. Throws
   * `integration_not_found`.
   */
  async setPace(name: string, pacePerSecond: number | null, act: Act): Promise<void> {
    const pace = {
      pacePerSecond: pacePerSecond ?? this.#with.pacePerSecond,
      hasOwnPace: pacePerSecond !== null,
    }
    await this.#change(act, async (trx) => {
      if (!(await setOwnPace(trx, name, pace))) throw unknownIntegration(name)
    })
  }

  /** Stores the next client secret; null removes it. Throws `integration_not_found`. */
  async setNextSecret(name: string, secret: Secret | null, act: Act): Promise<void> {
    await this.#change(act, async (trx) => {
      if (await setNextSecret(trx, this.#with.keyRing, name, secret)) return
      throw unknownIntegration(name)
    })
  }

  /**
   * Creates an integration or changes it. Throws `bad_request`, `client_secret_needed`.
   *
   * @returns True when it is new.
   */
  async put(name: string, order: IntegrationOrder, act: Act): Promise<boolean> {
    const { integrations, keyRing } = this.#with
    const { db } = this.#with.database
    checkProfile(order.provider, order.profile, integrations.profiles)
    await integrations.reload()
    const known = integrations.find(name)
    // An altered one has nothing to compare with. Only its own settings restore it.
    if (known !== undefined && !known.isAltered) {
      checkChange(known, order, await hasAccounts(db, name), integrations.profiles)
    }
    const isNew = known === undefined
    const isDone = await db.transaction().execute(async (trx) => {
      const isWritten = isNew
        ? await this.#insert(trx, name, order)
        : await updateIntegration(trx, keyRing, name, order)
      if (!isWritten) return false
      if (order.clientSecret !== undefined) await tryAgainNow(trx, [name])
      await act.record(trx, { outcome: isNew ? 'created' : 'changed' })
      return true
    })
    // It appeared or disappeared meanwhile.
    if (!isDone) return this.put(name, order, act)
    await integrations.reload()
    return isNew
  }

  /**
   * Removes an integration without accounts, and its grants. Throws `integration_not_found`,
   * `integration_in_use`.
   */
  async remove(name: string, act: Act): Promise<void> {
    await this.#with.integrations.load(name)
    await this.#change(act, async (trx) => {
      const accounts = await removeIntegration(trx, name)
      if (accounts > 0) {
        throw new BrokerError('integration_in_use', `"${name}" has ${accounts} accounts.`)
      }
      await this.#with.endGrants(trx, name)
    })
  }

  async #insert(trx: Transaction<Tables>, name: string, order: IntegrationOrder): Promise<boolean> {
    const { keyRing, endGrants, pacePerSecond } = this.#with
    const { clientSecret } = order
    if (clientSecret === undefined) throw needsSecret()
    // Those of an integration of this name that was removed in psql.
    await endGrants(trx, name)
    const complete = { ...order, clientSecret }
    return insertIntegration(trx, keyRing, name, complete, { pacePerSecond })
  }

  /** Changes integrations and records the act. */
  async #change(act: Act, work: (trx: Transaction<Tables>) => Promise<void>): Promise<void> {
    await this.#with.database.db.transaction().execute(async (trx) => {
      await work(trx)
      await act.record(trx)
    })
    await this.#with.integrations.reload()
  }
}

function needsSecret(): BrokerError {
  return new BrokerError('bad_request', 'client_secret: a new integration needs it.')
}
