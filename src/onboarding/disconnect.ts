import { createHmac } from 'node:crypto'
import type { Logger } from 'pino'
import { findAccount } from '../accounts/store.ts'
import { takePace } from '../claims/pace.ts'
import type { Database } from '../db/database.ts'
import type { Integrations } from '../integrations/directory.ts'
import type { Integration } from '../integrations/integration.ts'
import type { AccountKey } from '../lib/account-key.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import type { RecheckResult } from '../refresh/recheck.ts'
import { equalInConstantTime } from '../vault/keyed-hash.ts'
import type { DisconnectInbox, DisconnectOutcome } from './disconnect-inbox.ts'

const WORKER_INTERVAL_MS = 1_000

/** The hook as the provider sends it (docs/provider.md, part 8). */
interface DisconnectHook {
  account_id: number
  client_uuid: string
  signature: string
}

interface DisconnectDependencies {
  database: Database
  inbox: DisconnectInbox
  integrations: Integrations
  /** Probes under the account's claim. `undefined`: another process has the claim. */
  examine: (key: AccountKey) => Promise<RecheckResult | undefined>
  log: Logger
}

/**
 * Receives disconnect hooks and probes their accounts. A hook is a reason to probe and not a proof:
 * it carries neither a time nor a nonce and can be replayed for ever. The account is served until
 * the probe has a result.
 */
export class DisconnectHooks implements PeriodicWork {
  readonly name = 'disconnect hooks'
  readonly intervalMs = WORKER_INTERVAL_MS
  readonly #with: DisconnectDependencies

  constructor(dependencies: DisconnectDependencies) {
    this.#with = dependencies
  }

  /**
   * Stores a hook. Throws when the database is unavailable.
   *
   * @returns False when none of our integrations has signed it.
   */
  async receive(hook: DisconnectHook): Promise<boolean> {
    const { inbox, integrations } = this.#with
    const signed = integrations.all().filter((each) => isSigned(each, hook))
    for (const { name } of signed) {
      await inbox.receive({ integration: name, accountId: hook.account_id })
    }
    return signed.length > 0
  }

  /** Claims waiting hooks, probes their accounts and records the results. */
  async run(): Promise<void> {
    const { inbox, log } = this.#with
    for (const hook of await inbox.claim()) {
      const { integration, accountId } = hook
      const outcome = await this.#resolve(hook)
      if (outcome === undefined) {
        await inbox.release(hook)
        continue
      }
      await inbox.finish(hook, outcome)
      log.info({ integration, account: accountId, outcome }, 'disconnect hook resolved')
    }
  }

  /** @returns The outcome; `undefined`: the probe has no result yet. */
  async #resolve(key: AccountKey): Promise<DisconnectOutcome | undefined> {
    const account = await findAccount(this.#with.database.db, key)
    const isServed = account?.status === 'active' || account?.status === 'pending'
    // Another service refreshes a shadow account: a dead pair means that it was refreshed there.
    if (!isServed || account.kind !== 'oauth' || account.shadow) return 'nothing_to_do'
    // The owner of an integration's secret can sign for any account.
    if (!(await takePace(this.#with.database.db, key.integration, 'unproven'))) return undefined
    const result = await this.#with.examine(key)
    if (result === 'dead') return 'disconnected'
    return result === 'alive' ? 'still_connected' : undefined
  }
}

function isSigned(integration: Integration, hook: DisconnectHook): boolean {
  if (integration.clientId !== hook.client_uuid) return false
  // During a change of the secret the provider may sign with either.
  const secrets = [integration.clientSecret, integration.nextClientSecret ?? []].flat()
  const expected = secrets.map((secret) =>
    createHmac('sha256', secret.reveal())
      .update(`${hook.client_uuid}|${hook.account_id}`)
      .digest('hex'),
  )
  return expected.some((each) => equalInConstantTime(each, hook.signature))
}
