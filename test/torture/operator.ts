import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { SandboxAccount } from '../support/sandbox-accounts.ts'
import { fateOf } from './fates.ts'
import { type Harness, onboardAgain, operate } from './harness.ts'
import { type Holding, readHoldings } from './holdings.ts'

const ROUND_MS = 1_000
/** The operator acts after the brokers have been stopped for this time. */
const STOPPED_MS = 4_000
const RECHECKED_MS = 4_000

/**
 * Plays the operator, so that the run goes on: authorizes lost accounts again, resumes halted
 * integrations and closes breakers. Leaves accounts that are `reauth_required` although the brokers
 * have a live pair: the brokers must revive them. Makes only the rechecks come sooner.
 */
export class Operator {
  /** Reasons why accounts had to be authorized again. */
  readonly lossCounts = new Map<string, number>()
  resumed = 0
  breakersClosed = 0
  readonly #harness: Harness
  readonly #closing = new AbortController()
  #running: Promise<void> | undefined

  constructor(harness: Harness) {
    this.#harness = harness
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await delay(ROUND_MS, undefined, { signal }).catch(() => {})
      await this.#round().catch((error) =>
        this.#harness.incidents.note(`operator: ${error.message}`),
      )
    }
  }

  async #round(): Promise<void> {
    for (const subject of this.#harness.subjects) {
      const vitals = this.#harness.pulse.now.get(subject.accountId)
      if (vitals?.status === 'reauth_required') await this.#look(subject)
    }
    await this.#resume()
    await this.#closeBreakers()
  }

  async #look(subject: SandboxAccount): Promise<void> {
    const { vault } = this.#harness
    const [holding] = await readHoldings(vault.db, vault.keyRing, subject.accountId)
    if (holding?.status !== 'reauth_required') return
    if (this.mayRevive(subject, holding)) return this.#letTimePass(subject)
    const reason = this.#reasonOf(subject, holding)
    this.lossCounts.set(reason, (this.lossCounts.get(reason) ?? 0) + 1)
    await onboardAgain(this.#harness, subject)
    this.#harness.reauthorized.set(subject.accountId, Date.now())
  }

  /**
   * Accounts that are `reauth_required` are rechecked after minutes, hours and days. Here those are
   * seconds.
   */
  async #letTimePass({ integration, accountId }: SandboxAccount): Promise<void> {
    await sql`
      update amo_tokens set "nextAttemptAt" = now() + ${RECHECKED_MS} * interval '1 millisecond'
      where integration = ${integration} and "accountId" = ${accountId} and status = 'reauth_required'
        and "nextAttemptAt" > now() + ${RECHECKED_MS} * interval '1 millisecond'
    `.execute(this.#harness.vault.db)
  }

  /**
   * Returns whether the brokers have, or must have, a pair of this account that the provider would
   * accept.
   */
  mayRevive({ accountId, account, client }: SandboxAccount, holding: Holding): boolean {
    const { world } = this.#harness.sandbox
    const live = new Set(world.grants.liveRefreshTokens(account, client.clientId))
    if ([holding.current, ...holding.parked].some((id) => live.has(id))) return true
    return world.books
      .list(0, Number.POSITIVE_INFINITY, accountId)
      .filter(({ newTokenId }) => newTokenId !== undefined && live.has(newTokenId))
      .some((entry) => ['arrived', 'pending'].includes(fateOf(entry, this.#harness)))
  }

  #reasonOf({ accountId }: SandboxAccount, { lastErrorCode }: Holding): string {
    const { books } = this.#harness.sandbox.world
    const last = books
      .list(0, Number.POSITIVE_INFINITY, accountId)
      .findLast(({ spent, kind }) => spent && kind === 'refresh_token')
    const fate = last === undefined ? 'arrived' : fateOf(last, this.#harness)
    if (fate === 'arrived') return `nothing lives: ${lastErrorCode}`
    return `${fate}: ${last?.fault ?? 'the broker was killed'}`
  }

  async #resume(): Promise<void> {
    const { rows } = await sql<{ name: string }>`
      select name from amo_integrations
      where state = 'halted' and "updatedAt" < now() - ${STOPPED_MS} * interval '1 millisecond'
    `.execute(this.#harness.vault.db)
    for (const { name } of rows) {
      this.resumed += 1
      await operate(this.#harness, 'POST', `/integrations/${name}/resume`)
    }
  }

  /** The API has no call that closes a breaker early, and a run of minutes cannot wait for it. */
  async #closeBreakers(): Promise<void> {
    const { db } = this.#harness.vault
    const { rows } = await sql<{
      name: string | null
    }>`select to_regclass('amo_breakers') as name`.execute(db)
    if (rows[0]?.name === null) return
    const closed = await sql`
      update amo_breakers set "openUntil" = null, failures = '[]', openings = 0, "closedAt" = now()
      where "openUntil" is not null and "openedAt" < now() - ${STOPPED_MS} * interval '1 millisecond'
    `.execute(db)
    this.breakersClosed += Number(closed.numAffectedRows ?? 0)
  }
}
