import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { equalInConstantTime } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'
import type { Integrations } from './directory.ts'
import { type SecretMark, setProvenSecret, swapSecrets } from './next-client-secret.ts'
import { setIntegrationError, tryAgainNow } from './store.ts'

/** Refusals that the right client secret resolves. */
const SECRET_REFUSALS = new Set(['client_rejected', 'client_secret_malformed'])

/** Records whether the provider accepts the credentials of each integration. */
export class CredentialRecord {
  readonly #database: Database
  readonly #keyRing: KeyRing
  readonly #integrations: Integrations
  readonly #log: Logger
  /** The client secret of an integration that was refused last. */
  readonly #refusedSecrets = new Map<string, Secret>()
  readonly #acceptedMarks = new Map<string, SecretMark>()

  constructor(database: Database, keyRing: KeyRing, integrations: Integrations, log: Logger) {
    this.#database = database
    this.#keyRing = keyRing
    this.#integrations = integrations
    this.#log = log
  }

  /** Records why the provider refuses the integration as a whole; null: it accepts it. */
  async recordError(name: string, code: string | null): Promise<void> {
    if (this.#integrations.find(name)?.lastErrorCode === code) return
    await setIntegrationError(this.#database.db, name, code)
    if (code !== null) {
      this.#log.error({ integration: name, code }, 'integration refused by the provider')
    }
  }

  /**
   * Records that the provider refuses the client, and swaps in the next client secret if there is
   * one. `mark` identifies the secret that was refused: if it has been replaced since, nothing is
   * swapped. The canary of an open breaker may then go at once, unless the other secret is the one
   * that was refused before: two wrong secrets would be tried in turn without a pause.
   *
   * @returns True when a secret was swapped in that was not refused before.
   */
  async recordRefusal(name: string, code: string, mark: SecretMark): Promise<boolean> {
    const { db } = this.#database
    await this.recordError(name, code)
    if (!SECRET_REFUSALS.has(code)) return false
    if (!(await swapSecrets(db, this.#keyRing, name, mark))) return false
    const refused = this.#integrations.find(name)?.clientSecret
    await this.#integrations.reload()
    const present = this.#integrations.find(name)?.clientSecret
    const isUntried = this.#refusedSecrets.get(name)?.reveal() !== present?.reveal()
    if (refused !== undefined) this.#refusedSecrets.set(name, refused)
    if (isUntried) await tryAgainNow(db, [name])
    this.#log.warn({ integration: name }, 'client secret refused, next one tried')
    return isUntried
  }

  /**
   * Records that the provider has accepted the client secret that `mark` identifies. Never rejects:
   * the next success records it again.
   */
  async recordAccepted(name: string, mark: SecretMark): Promise<void> {
    const integration = this.#integrations.find(name)
    if (integration === undefined || this.#acceptedMarks.get(name) === mark) return
    const { clientSecret, provenSecret, secretMark } = integration
    if (secretMark !== mark) return
    const isKnown =
      provenSecret !== null && equalInConstantTime(provenSecret.reveal(), clientSecret.reveal())
    this.#acceptedMarks.set(name, mark)
    if (isKnown) return
    try {
      await setProvenSecret(this.#database.db, this.#keyRing, name, mark)
    } catch (err) {
      this.#acceptedMarks.delete(name)
      this.#log.warn({ err, integration: name }, 'accepted client secret not recorded')
    }
  }
}
