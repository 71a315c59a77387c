import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Database } from '../db/database.ts'
import { BrokerError } from '../errors.ts'
import type { OAuthClient, ProviderName } from '../provider/profiles.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'
import {
  checkChange,
  checkProfile,
  type IntegrationOrder,
  insertIntegration,
  removeIntegration,
  updateIntegration,
} from './edit.ts'
import { openIntegration } from './open-integration.ts'
import { type SecretMark, setNextSecret, swapSecrets } from './secrets-store.ts'
import {
  findFailing,
  findIntegrations,
  findOpenBreakers,
  type OpenBreaker,
  pauseIntegrations,
  resumeIntegrations,
  seedIntegration,
  setIntegrationError,
  setPace,
  tryAgainNow,
} from './store.ts'
import { tellChanges } from './tell-changes.ts'

/** One set of credentials at one platform. */
export interface Integration extends OAuthClient {
  name: string
  provider: ProviderName
  state: 'running' | 'paused' | 'halted'
  /** Why it is halted, or who paused it. */
  stateReason: string | null
  acceptsInstalls: boolean
  /** Made by a button, in one account alone. */
  external: boolean
  /** Removed then, unless its code was exchanged. */
  provisionalUntil: Date | null
  lastErrorCode: string | null
  lastErrorAt: Date | null
  pacePerSecond: number
  /** While there is one, nothing is sent. */
  breakers: OpenBreaker[]
  /** A breaker counts failures of the last minute that a success makes it forget. */
  hasFailures: boolean
  /** Of `clientSecret`: says which one a call was made with. */
  secretMark: SecretMark
  /** The secret to try once the present one is refused, or the one before it. Null: none. */
  readonly nextClientSecret: Secret | null
  hasNextSecret: boolean
}

/** Refusals that a right client secret mends. */
const SECRET_REFUSALS = new Set(['client_rejected', 'client_secret_malformed'])

/** All integrations, held in memory (there are few) and read again whenever one of them changes. */
export class Integrations {
  readonly #database: Database
  readonly #keyRing: KeyRing
  readonly #log: Logger
  #byName: ReadonlyMap<string, Integration> = new Map()
  #reading: Promise<void> = Promise.resolve()

  constructor(database: Database, keyRing: KeyRing, log: Logger) {
    this.#database = database
    this.#keyRing = keyRing
    this.#log = log
  }

  async seed(config: Config, hash: KeyedHash): Promise<void> {
    for (const each of config.integrations) {
      await seedIntegration(this.#database.db, this.#keyRing, hash, each)
    }
    await setPace(this.#database.db, config.pacePerSecond)
    await this.reload()
  }

  /** Reads one after the other, so that the newest state is the one that stays. */
  reload(): Promise<void> {
    this.#reading = this.#reading.then(async () => {
      try {
        const rows = await findIntegrations(this.#database.db)
        const breakers = await findOpenBreakers(this.#database.db)
        const failing = await findFailing(this.#database.db)
        const before = this.#byName
        this.#byName = new Map(
          rows.map((row) => {
            const own = breakers.filter(({ integration }) => integration === row.name)
            return [row.name, openIntegration(this.#keyRing, row, own, failing.has(row.name))]
          }),
        )
        tellChanges(before, this.#byName, this.#log)
      } catch (error) {
        this.#log.warn({ err: error }, 'integrations could not be read')
      }
    })
    return this.#reading
  }

  all(): Integration[] {
    return [...this.#byName.values()]
  }

  find(name: string): Integration | undefined {
    return this.#byName.get(name)
  }

  /** Throws `integration_not_found`. */
  get(name: string): Integration {
    const integration = this.find(name)
    if (integration === undefined) throw unknownIntegration(name)
    return integration
  }

  /** As `get`, but another replica may have made it a moment ago: looks again before it says no. */
  async load(name: string): Promise<Integration> {
    const known = this.find(name)
    if (known !== undefined) return known
    await this.reload()
    return this.get(name)
  }

  /** Every open breaker once, of however many integrations. */
  openBreakers(): OpenBreaker[] {
    const all = this.all().flatMap(({ breakers }) => breakers)
    return [...new Map(all.map((breaker) => [breaker.key, breaker])).values()]
  }

  /** Those whose redirect URI has this path; two of them may share it. */
  byRedirectPath(path: string): Integration[] {
    return this.all().filter(({ redirectUri }) => new URL(redirectUri).pathname === path)
  }

  /** Serves what accounts have and sends nothing, for the integration of this name or for all. Throws `integration_not_found`. */
  async pause(name: string | undefined, by: string): Promise<void> {
    const names = name === undefined ? [...this.#byName.keys()] : [(await this.load(name)).name]
    await pauseIntegrations(this.#database.db, names, `paused by ${by}`)
    await this.reload()
  }

  /**
   * Sends again for the integration of this name, or for all that were paused: one that halted itself is to be looked at
   * and resumed by its name. Throws `integration_not_found`.
   */
  async resume(name: string | undefined, by: string): Promise<void> {
    const paused = this.all().filter(({ state }) => state === 'paused')
    const names =
      name === undefined ? paused.map((each) => each.name) : [(await this.load(name)).name]
    await resumeIntegrations(this.#database.db, names)
    await this.reload()
    this.#log.info({ integrations: names, by }, 'integrations resumed')
  }

  async recordError(name: string, code: string | null): Promise<void> {
    if (this.find(name)?.lastErrorCode === code) return
    await setIntegrationError(this.#database.db, name, code)
    if (code !== null) {
      this.#log.error({ integration: name, code }, 'integration refused by the provider')
    }
  }

  /**
   * The provider refuses the client. Only now the next secret is tried, where there is one: true, and what was refused is
   * worth another try. `mark` is that of the secret which was refused: one that was replaced meanwhile changes nothing.
   */
  async recordRefusal(name: string, code: string, mark: SecretMark): Promise<boolean> {
    await this.recordError(name, code)
    if (!SECRET_REFUSALS.has(code)) return false
    const isSwapped = await swapSecrets(this.#database.db, this.#keyRing, name, mark)
    if (isSwapped) {
      this.#log.warn({ integration: name }, 'client secret refused, the next one is tried')
      await this.reload()
    }
    return isSwapped
  }

  /** Null takes it back. Throws `integration_not_found`. */
  async setNextSecret(name: string, secret: Secret | null): Promise<void> {
    if (!(await setNextSecret(this.#database.db, this.#keyRing, name, secret))) {
      throw unknownIntegration(name)
    }
    await this.reload()
  }

  /**
   * Makes an integration or changes one. True: it is new. Throws `bad_request`, `client_secret_needed`.
   */
  async put(name: string, order: IntegrationOrder): Promise<boolean> {
    const { db } = this.#database
    checkProfile(order.provider, order.profile)
    await this.reload()
    const known = this.find(name)
    if (known !== undefined) {
      checkChange(known, order)
      await updateIntegration(db, this.#keyRing, name, order)
      if (order.clientSecret !== undefined) await tryAgainNow(db, [name])
    } else {
      const { clientSecret } = order
      if (clientSecret === undefined) throw needsSecret()
      const isNew = await insertIntegration(db, this.#keyRing, name, { ...order, clientSecret })
      if (!isNew) return this.put(name, order)
    }
    await this.reload()
    return known === undefined
  }

  /** Throws `integration_not_found`, `integration_in_use`. */
  async remove(name: string): Promise<void> {
    await this.load(name)
    const accounts = await removeIntegration(this.#database.db, name)
    await this.reload()
    if (accounts === 0) return
    throw new BrokerError('integration_in_use', `"${name}" has ${accounts} accounts.`)
  }
}

function needsSecret(): BrokerError {
  return new BrokerError('bad_request', 'client_secret: a new integration needs it.')
}

function unknownIntegration(name: string): BrokerError {
  return new BrokerError('integration_not_found', `There is no integration "${name}".`)
}
