import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import { onboard, type Subject } from '../support/subjects.ts'
import { fateOf } from './fates.ts'
import { type Holding, readHoldings } from './holdings.ts'
import { operate, type Stage } from './stage.ts'

const ROUND_MS = 1_000
/** What stops the brokers may stop them for so long before somebody comes and looks. */
const STOPPED_MS = 4_000
const RECHECKED_MS = 4_000

/**
 * The people around the brokers: they authorize again what is truly lost, resume what was halted, and close breakers, so that
 * the run goes on. An account that was condemned although the brokers hold a pair that lives is left to them: they must revive it,
 * only sooner than in life.
 */
export class Operator {
  /** Why accounts had to be authorized again. */
  readonly lossCounts = new Map<string, number>()
  resumed = 0
  breakersClosed = 0
  readonly #stage: Stage
  readonly #closing = new AbortController()
  #running: Promise<void> | undefined

  constructor(stage: Stage) {
    this.#stage = stage
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
      await this.#round().catch((error) => this.#stage.incidents.note(`operator: ${error.message}`))
    }
  }

  async #round(): Promise<void> {
    for (const subject of this.#stage.subjects) {
      const vitals = this.#stage.pulse.now.get(subject.accountId)
      if (vitals?.status === 'reauth_required') await this.#look(subject)
    }
    await this.#resume()
    await this.#closeBreakers()
  }

  async #look(subject: Subject): Promise<void> {
    const { vault } = this.#stage
    const [holding] = await readHoldings(vault.db, vault.keyRing, subject.accountId)
    if (holding?.status !== 'reauth_required') return
    if (this.mayRevive(subject, holding)) return this.#letTimePass(subject)
    const reason = this.#reasonOf(subject, holding)
    this.lossCounts.set(reason, (this.lossCounts.get(reason) ?? 0) + 1)
    await onboard(this.#stage, subject)
    this.#stage.reauthorized.set(subject.accountId, Date.now())
  }

  /** A condemned account is asked about again after minutes, hours, days: they pass in seconds. */
  async #letTimePass({ integration, accountId }: Subject): Promise<void> {
    await sql`
      update amo_tokens set "nextAttemptAt" = now() + ${RECHECKED_MS} * interval '1 millisecond'
      where integration = ${integration} and "accountId" = ${accountId} and status = 'reauth_required'
        and "nextAttemptAt" > now() + ${RECHECKED_MS} * interval '1 millisecond'
    `.execute(this.#stage.vault.db)
  }

  /** Whether the brokers hold, or must hold, a pair of this account that the provider would accept. */
  mayRevive({ accountId, account, client }: Subject, holding: Holding): boolean {
    const { world } = this.#stage.sandbox
    const live = new Set(world.grants.liveRefreshTokens(account, client.clientId))
    if ([holding.current, ...holding.parked].some((id) => live.has(id))) return true
    return world.books
      .list(0, Number.POSITIVE_INFINITY, accountId)
      .filter(({ newTokenId }) => newTokenId !== undefined && live.has(newTokenId))
      .some((entry) => ['arrived', 'pending'].includes(fateOf(entry, this.#stage)))
  }

  #reasonOf({ accountId }: Subject, { lastErrorCode }: Holding): string {
    const { books } = this.#stage.sandbox.world
    const last = books
      .list(0, Number.POSITIVE_INFINITY, accountId)
      .findLast(({ spent, kind }) => spent && kind === 'refresh_token')
    const fate = last === undefined ? 'arrived' : fateOf(last, this.#stage)
    if (fate === 'arrived') return `nothing lives: ${lastErrorCode}`
    return `${fate}: ${last?.fault ?? 'the broker was killed'}`
  }

  async #resume(): Promise<void> {
    const { rows } = await sql<{ name: string }>`
      select name from amo_integrations
      where state = 'halted' and "updatedAt" < now() - ${STOPPED_MS} * interval '1 millisecond'
    `.execute(this.#stage.vault.db)
    for (const { name } of rows) {
      this.resumed += 1
      await operate(this.#stage, 'POST', `/integrations/${name}/resume`)
    }
  }

  /** No operator's call closes a breaker before its time; a run of minutes cannot wait for it. */
  async #closeBreakers(): Promise<void> {
    const { db } = this.#stage.vault
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
