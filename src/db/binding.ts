import type { Kysely } from 'kysely'
import type { Logger } from 'pino'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Secret } from '../vault/secret.ts'
import { bindDeployment, findBoundTo } from './deployment.ts'
import type { Tables } from './tables.ts'

interface BindingDependencies {
  db: Kysely<Tables>
  keyRing: KeyRing
  deploymentId: string
  /**
   * Called with the other deployment that the database belongs to; null: it belongs to this one.
   */
  onChange: (boundTo: string | null) => void
  log: Logger
}

/**
 * Knows which deployment the database belongs to, for health and log. The claims do not rely on it:
 * each one asks the database itself.
 */
export class Binding {
  readonly #with: BindingDependencies
  #rootSecret: Secret | undefined
  #boundTo: string | null = null

  constructor(dependencies: BindingDependencies) {
    this.#with = dependencies
  }

  /**
   * Binds a new database to this deployment, or reads which one it belongs to. Throws `KeyMissing`.
   */
  async bind(): Promise<void> {
    const { db, keyRing, deploymentId } = this.#with
    const { rootSecret, boundTo } = await bindDeployment(db, keyRing, deploymentId)
    this.#rootSecret = rootSecret
    this.#set(boundTo)
  }

  /** Reads the deployment again: `amo-broker adopt` may have changed it. Logs a failure. */
  async reload(): Promise<void> {
    const { db, log } = this.#with
    try {
      this.#set(await findBoundTo(db))
    } catch (err) {
      log.warn({ err }, 'deployment could not be read')
    }
  }

  /** The root of all keyed hashes. Throws before `bind`. */
  get rootSecret(): Secret {
    if (this.#rootSecret === undefined) throw new Error('the broker has not started')
    return this.#rootSecret
  }

  #set(owner: string): void {
    const { deploymentId, onChange, log } = this.#with
    const boundTo = owner === deploymentId ? null : owner
    if (this.#boundTo === boundTo) return
    this.#boundTo = boundTo
    onChange(boundTo)
    if (boundTo === null) log.info({ deploymentId }, 'database adopted')
    else log.error({ deploymentId, boundTo }, 'database belongs to another deployment')
  }
}
