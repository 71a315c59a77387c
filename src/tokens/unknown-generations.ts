import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import type { Refresher } from '../refresh/refresh.ts'

const LOOKUP_INTERVAL_MS = 10_000
const WARNING_INTERVAL_MS = 60_000
const MAX_ACCOUNTS = 10_000

/**
 * Looks for generations that are newer than the stored one. After a failover that lost a commit
 * such a report is the evidence, and this replica's journal or Redis has the response. A wrong
 * number costs one look-up in ten seconds per account, and one warning a minute.
 */
export class UnknownGenerations {
  readonly #journals: Pick<Refresher, 'recover' | 'newestJournaled'>
  readonly #log: Logger
  readonly #lookups = new LRUCache<string, Promise<boolean>>({
    max: MAX_ACCOUNTS,
    ttl: LOOKUP_INTERVAL_MS,
  })
  readonly #warned = new LRUCache<string, true>({ max: MAX_ACCOUNTS, ttl: WARNING_INTERVAL_MS })

  constructor(journals: Pick<Refresher, 'recover' | 'newestJournaled'>, log: Logger) {
    this.#journals = journals
    this.#log = log
  }

  /**
   * Commits the response of a newer generation, if a journal has it. Throws when a store does not
   * answer.
   *
   * @returns False when no journal has one.
   */
  async find(account: AccountKey & { generation: number }, reported: number): Promise<boolean> {
    const name = keyText(account)
    // What this replica has received since is worth another look.
    const key = `${name} ${this.#journals.newestJournaled(account)}`
    let lookup = this.#lookups.get(key)
    if (lookup === undefined) {
      lookup = this.#look(account, reported)
      this.#lookups.set(key, lookup)
      lookup.then(
        (isFound) => isFound && this.#lookups.delete(key),
        () => this.#lookups.delete(key),
      )
    }
    const isFound = await lookup
    if (!isFound && !this.#warned.has(name)) {
      this.#warned.set(name, true)
      this.#log.warn(fieldsOf(account, reported), 'reported generation is unknown')
    }
    return isFound
  }

  async #look(account: AccountKey & { generation: number }, reported: number): Promise<boolean> {
    const isFound = await this.#journals.recover(account)
    if (isFound) {
      const fields = fieldsOf(account, reported)
      this.#log.fatal(fields, 'reported generation is newer than the stored one')
    }
    return isFound
  }
}

function fieldsOf(
  { integration, accountId: account, generation }: AccountKey & { generation: number },
  reported: number,
) {
  return { integration, account, generation, reported }
}
