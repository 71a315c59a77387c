import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { AuditEntry } from './entry.ts'
import { appendEntries } from './store.ts'

/** Details of an act that only the service knows. They complete those of the HTTP request. */
export interface ActResult {
  outcome?: string
  account?: AccountKey
  generation?: number
  detail?: Record<string, string | number>
}

/**
 * An operator's act. The service that does it records it in the same transaction, so that neither
 * can be without the other.
 */
export class Act {
  readonly #entryOf: () => AuditEntry
  #isRecorded = false

  /** `entryOf` returns the act as its caller knows it. */
  constructor(entryOf: () => AuditEntry) {
    this.#entryOf = entryOf
  }

  /** True once the act has a row. If its transaction failed, the request has failed as well. */
  get isRecorded(): boolean {
    return this.#isRecorded
  }

  /** Appends the audit row of the act. `trx` is the transaction that does it. */
  async record(trx: Kysely<Tables>, result: ActResult = {}): Promise<void> {
    const entry = this.#entryOf()
    const { account = entry.account, generation = entry.generation } = result
    const key = account && { integration: account.integration, accountId: account.accountId }
    await appendEntries(trx, [
      {
        ...entry,
        outcome: result.outcome ?? 'done',
        account: key,
        generation,
        detail: { ...entry.detail, ...result.detail },
        times: 1,
      },
    ])
    this.#isRecorded = true
    failpoint('act_recorded')
  }
}
