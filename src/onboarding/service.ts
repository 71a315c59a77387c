import { isStorageDown } from '../db/failures.ts'
import { BrokerError } from '../errors.ts'
import { typedHost } from '../provider/profiles.ts'
import { Repeated } from '../repeated.ts'
import type { Secret } from '../vault/secret.ts'
import { within } from '../within.ts'
import type { Exchanges } from './exchanges.ts'
import { findCallbacks } from './find-callbacks.ts'
import {
  finishOnboarding,
  type OnboardingDependencies,
  storeKeptCodes,
} from './finish-onboarding.ts'
import {
  findCallback,
  findCallbackByCode,
  findWaitingCallbacks,
  type InboxRow,
  receiveCallback,
} from './inbox.ts'
import { type CallbackQuery, type Judged, judgeCallback } from './judge.ts'
import type { KeptCallbacks } from './kept-callbacks.ts'
import type { ConnectLink } from './links.ts'
import { removeUnproved } from './secrets-hook.ts'
import { SlowLane } from './slow-lane.ts'
import { mintState } from './state.ts'
import { atOnboardingStep } from './steps.ts'

const WORKER_INTERVAL_MS = 5_000
/** The provider's server waits three seconds and never calls again: by then the disk has what PostgreSQL does not have yet. */
const STORE_PATIENCE_MS = 50

export interface CallbacksDependencies extends OnboardingDependencies {
  exchanges: Exchanges
  keptCallbacks: KeptCallbacks
}

/** What became of a callback, as far as it has become: an `outcome` of null is under way. */
export type Progress = InboxRow

/** Stored under this id, or what is wrong with it; `linkId` names the link whose page is told. */
export type Received = { id: string } | { problem: string; linkId?: string | undefined }

/**
 * Onboarding: callback → inbox → exchange → confirmation → `amo_tokens`. Every step is written down before the next, so
 * that whoever comes after a crash goes on where it stopped; a code is presented once.
 */
export class Onboarding {
  readonly #with: CallbacksDependencies
  readonly #underWay = new Map<string, Promise<void>>()
  readonly #worker: Repeated
  readonly #slowLane: SlowLane
  #isStopping = false

  constructor(dependencies: CallbacksDependencies) {
    this.#with = dependencies
    this.#worker = new Repeated('inbox', WORKER_INTERVAL_MS, () => this.#takeUp(), dependencies.log)
    this.#slowLane = new SlowLane(dependencies, (id) => this.#work(id))
  }

  /** Takes up what a process left that died. */
  start(): void {
    this.#worker.start()
    this.#slowLane.start()
  }

  /** Takes up nothing any more, and waits for what is under way. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all([this.#worker.stop(), this.#slowLane.stop()])
    await Promise.allSettled(this.#underWay.values())
  }

  /** The state for one opening of a link in one browser. */
  mintState(link: ConnectLink, browserId: string): string {
    return mintState(this.#with.states, link.id, browserId)
  }

  /** Judges a callback and puts it into the inbox, then sets to work on it; what is wrong is not stored. */
  async receive(
    path: string,
    query: CallbackQuery,
    browserId: string | undefined,
    receivedAtMs?: number,
  ): Promise<Received> {
    const judged = await judgeCallback(this.#with, path, query, browserId)
    return 'problem' in judged ? judged : this.#store(judged, receivedAtMs)
  }

  /**
   * The same of a call of the provider's server, which is not made again: while PostgreSQL does not take it within a blink,
   * it is kept on disk and judged later. Undefined: that happened.
   */
  async receiveFromServer(path: string, query: CallbackQuery): Promise<Received | undefined> {
    const received = this.receive(path, query, undefined)
    try {
      const first = await within(received, STORE_PATIENCE_MS, undefined)
      if (first !== undefined) return first
    } catch (error) {
      if (!isStorageDown(error)) throw error
    }
    const name = this.keepForLater(path, query)
    received.then(
      () => this.#with.keptCallbacks.forget(name),
      () => {},
    )
    return undefined
  }

  /** On disk when it returns; judged when the database answers. Throws `storage_unavailable`. */
  keepForLater(path: string, query: CallbackQuery): string {
    const { keptCallbacks, heartbeat } = this.#with
    const name = keptCallbacks.keep({ path, query, atMs: heartbeat.nowMs() })
    atOnboardingStep('spooled')
    return name
  }

  /**
   * A code that an operator has (the Kommo guide's step 3.1): goes through the inbox like any other, and is presented once.
   * Throws `integration_not_found`, `bad_request` when the domain is no account's.
   */
  async exchangeCode(order: {
    integration: string
    domain: string
    code: Secret
  }): Promise<string> {
    const { name, profile } = await this.#with.integrations.load(order.integration)
    const referer = typedHost(profile, order.domain)
    if (referer === undefined) {
      throw new BrokerError('bad_request', 'domain: it is no account host of the platform.')
    }
    const callback = { origin: 'manual' as const, integration: name, code: order.code, referer }
    const received = await this.#store({ callback, isUsed: false })
    if ('problem' in received) throw new Error(`a code by hand was refused: ${received.problem}`)
    return received.id
  }

  /** What came in, the newest first. */
  list(before: Date | undefined, limit: number): Promise<InboxRow[]> {
    return findCallbacks(this.#with.database.db, before, limit)
  }

  /** Waits for the end of an onboarding for at most `waitMs`. Undefined: there is no such one. */
  async progress(id: string, waitMs: number): Promise<Progress | undefined> {
    const underWay = this.#underWay.get(id)
    if (underWay !== undefined) await within(underWay, waitMs, undefined)
    return findCallback(this.#with.database.db, id)
  }

  async #store(
    { callback, isUsed }: Exclude<Judged, { problem: string }>,
    receivedAtMs?: number,
  ): Promise<Received> {
    const { database, keyRing, committer } = this.#with
    const { fingerprints } = committer
    const { linkId, origin } = callback
    if (isUsed) {
      // A page that is loaded again shows what became of its code, though the link is used up by then.
      const known = await findCallbackByCode(database.db, fingerprints, callback.code)
      return known === undefined ? { problem: 'link_used', linkId } : { id: known }
    }
    const received = await receiveCallback(
      database.db,
      keyRing,
      fingerprints,
      callback,
      receivedAtMs,
    )
    if (received === undefined) return { problem: 'too_many_installs' }
    atOnboardingStep('received')
    if (!received.isNew) return { id: received.id }
    if (origin === 'install') this.#slowLane.nudge()
    else this.#work(received.id)
    return { id: received.id }
  }

  async #takeUp(): Promise<void> {
    const { database, worker } = this.#with
    await this.#judgeKept()
    await storeKeptCodes(this.#with)
    await this.#removeUnproved()
    for (const id of await findWaitingCallbacks(database.db, worker)) this.#work(id)
  }

  /** What was kept on disk while PostgreSQL was away. */
  async #judgeKept(): Promise<void> {
    const { keptCallbacks, log } = this.#with
    for await (const [name, { path, query, atMs }] of keptCallbacks.entries()) {
      const received = await this.receive(path, query, undefined, atMs)
      if ('problem' in received) log.warn({ problem: received.problem }, 'kept callback refused')
      else log.info({ inbox: received.id }, 'kept callback stored')
      await keptCallbacks.forget(name)
    }
  }

  async #removeUnproved(): Promise<void> {
    const names = await removeUnproved(this.#with.database)
    if (names.length > 0) this.#with.log.warn({ integrations: names }, 'no code proved them')
  }

  #work(id: string): Promise<void> {
    const known = this.#underWay.get(id)
    if (this.#isStopping || known !== undefined) return known ?? Promise.resolve()
    const work = finishOnboarding(this.#with, id)
      .catch((err) => this.#with.log.error({ err, inbox: id }, 'onboarding broke off'))
      .finally(() => this.#underWay.delete(id))
    this.#underWay.set(id, work)
    return work
  }
}
