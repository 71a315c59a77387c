import type { Logger } from 'pino'
import type { Config } from '../config/load-config.ts'
import type { Database } from '../db/database.ts'
import { PROFILES, type Profile, type ProfileTable } from '../provider/profile-table.ts'
import { profileOf } from '../provider/profiles.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { checkSandboxOrigin } from './check-urls.ts'
import { type Integration, unknownIntegration } from './integration.ts'
import { logStateChanges } from './log-state-changes.ts'
import { readIntegrations } from './read-integrations.ts'
import { seedIntegration } from './seed-integration.ts'
import { haltAltered, type OpenBreaker, setCommonPace } from './store.ts'

/** Keeps all integrations in memory (there are few) and reads them again when one changes. */
export class Integrations {
  readonly profiles: ProfileTable
  readonly #database: Database
  readonly #keyRing: KeyRing
  readonly #log: Logger
  /** False in commands that only look. */
  #mayHalt = false
  readonly #trustedSandboxes = new Set<string>()
  #byName: ReadonlyMap<string, Integration> = new Map()
  #reading: Promise<void> = Promise.resolve()

  constructor(
    database: Database,
    keyRing: KeyRing,
    log: Logger,
    profiles: ProfileTable = PROFILES,
  ) {
    this.#database = database
    this.#keyRing = keyRing
    this.#log = log
    this.profiles = profiles
  }

  /** Lets the sandboxes that the settings name be at private addresses. */
  trustSandboxes(config: Config): void {
    for (const { sandboxOrigin } of config.integrations) {
      if (sandboxOrigin !== null) this.#trustedSandboxes.add(sandboxOrigin)
    }
  }

  /** Throws `bad_request` when the API must not set this origin. */
  checkSandboxOrigin(sandboxOrigin: string | null): Promise<void> {
    return checkSandboxOrigin(sandboxOrigin, this.#trustedSandboxes)
  }

  /** Applies the environment's integrations and pace. */
  async seed(config: Config, hash: KeyedHash): Promise<void> {
    this.trustSandboxes(config)
    for (const each of config.integrations) {
      const result = await this.#database.db
        .transaction()
        .execute((trx) => seedIntegration(trx, this.#keyRing, hash, each))
      if (result !== 'restored') continue
      this.#log.error({ integration: each.name }, 'altered integration restored from environment')
    }
    this.#mayHalt = true
    await setCommonPace(this.#database.db, config.pacePerSecond)
    await this.reload()
  }

  /** Reads all integrations again. Calls are ordered, so that the newest state stays. */
  reload(): Promise<void> {
    this.#reading = this.#reading.then(async () => {
      try {
        const before = this.#byName
        const { db } = this.#database
        const known = { profiles: this.profiles, trustedSandboxes: this.#trustedSandboxes }
        this.#byName = await readIntegrations(db, this.#keyRing, known, this.#log)
        logStateChanges(before, this.#byName, this.#log)
        await this.#haltAltered()
      } catch (error) {
        this.#log.warn({ err: error }, 'integrations could not be read')
      }
    })
    return this.#reading
  }

  /** The profile of a provider without overrides. Throws when there is none. */
  profileOf(provider: string): Profile {
    return profileOf(provider, {}, this.profiles)
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

  /**
   * Like `get`, but reads the integrations again first if another replica may have just made it.
   */
  async load(name: string): Promise<Integration> {
    const known = this.find(name)
    if (known !== undefined) return known
    await this.reload()
    return this.get(name)
  }

  /** Returns every open breaker once, even if several integrations share it. */
  openBreakers(): OpenBreaker[] {
    const all = this.all().flatMap(({ breakers }) => breakers)
    return [...new Map(all.map((breaker) => [breaker.key, breaker])).values()]
  }

  /** Returns the integrations whose redirect URI has this path; several may share it. */
  byRedirectPath(path: string): Integration[] {
    return this.all().filter(({ redirectUri }) => new URL(redirectUri).pathname === path)
  }

  async #haltAltered(): Promise<void> {
    if (!this.#mayHalt) return
    for (const { name, state, isAltered } of this.all()) {
      if (!isAltered || state === 'halted') continue
      this.#log.error({ integration: name }, 'integration altered in the database, halted')
      await haltAltered(this.#database.db, name)
    }
  }
}
