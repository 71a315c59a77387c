// The path of an authorization code, file by file in this order:
//
// 1. validate-callback.ts   Which onboarding does a callback belong to? Stores nothing.
// 2. inbox.ts               Stores the sealed code before anything else is done about it. While
//                           PostgreSQL is away, callback-spool.ts stores it on disk.
// 3. exchange-code.ts       Presents the code once and stores the pair in the inbox. In between,
//                           code-responses.ts has the response on disk.
// 4. confirm-account.ts     Asks the provider which account the pair belongs to.
// 5. store-account.ts       Stores the pair in amo_tokens (pairs/onboard-pair.ts) and finishes the
//                           row of the inbox in the same transaction.
//
// finish-onboarding.ts runs steps 3 to 5 for one row. Each step is stored before the next one
// starts, so that any replica can continue after a crash. unproven-lane.ts starts them for
// installations, which nothing proves. exchanges.ts and disconnect.ts are the other calls of the
// provider's server, and import.ts takes pairs that exist already.
import type { Act } from '../audit/act.ts'
import { removeUnprovedIntegrations } from '../connect-links/external-integrations.ts'
import type { ConnectLink } from '../connect-links/links.ts'
import { mintState } from '../connect-links/state.ts'
import { isStorageFailure } from '../db/failures.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import { withTimeout } from '../lib/with-timeout.ts'
import type { CallbackKeeper } from './callback-keeper.ts'
import type { ConfirmationContext } from './confirm-account.ts'
import { type ExchangeContext, storeCodeResponses } from './exchange-code.ts'
import { finishOnboarding } from './finish-onboarding.ts'
import type { Inbox, InboxRow } from './inbox.ts'
import { findRefusedConsent, listOnboardings, type OnboardingRow } from './list-onboardings.ts'
import { callbackOfOperator, type OperatorCode } from './operator-code.ts'
import type { CallbackProblem, OnOnboardingEnd } from './outcomes.ts'
import { PageMarks } from './page-marks.ts'
import { UnprovenLane, type UnprovenLaneContext } from './unproven-lane.ts'
import {
  type CallbackQuery,
  isStateProven,
  type ValidatedCallback,
  type ValidationDependencies,
  type Visitor,
  validateCallback,
} from './validate-callback.ts'

const WORKER_INTERVAL_MS = 5_000
/**
 * The provider's server waits three seconds and never calls again. After this time the callback
 * goes to the disk too.
 */
const STORE_PATIENCE_MS = 50

/** What each step needs. */
interface OnboardingDependencies {
  validation: ValidationDependencies
  keeper: CallbackKeeper
  inbox: Inbox
  exchange: ExchangeContext
  confirmation: ConfirmationContext
  unproven: UnprovenLaneContext
  /** Called with why a callback was refused. */
  onEnd: OnOnboardingEnd
}

/** The call of a server that is read from disk. */
const NOBODY: Visitor = { browserId: undefined, network: '' }

/** A row of the inbox. An `outcome` of null: it is in progress. */
export type Progress = InboxRow

/**
 * The id of the stored callback, or why it is refused. `linkId`: the link whose page is informed.
 */
export type Received = { id: string } | { problem: CallbackProblem; linkId?: string | undefined }

/** Receives callbacks and takes them from the inbox to their end. */
export class Onboarding implements PeriodicWork {
  readonly name = 'inbox'
  readonly intervalMs = WORKER_INTERVAL_MS
  readonly unprovenLane: UnprovenLane
  readonly keeper: CallbackKeeper
  readonly pageMarks: PageMarks
  readonly #with: OnboardingDependencies
  readonly #inProgress = new Map<string, Promise<void>>()
  #isStopping = false

  constructor(dependencies: OnboardingDependencies) {
    this.#with = dependencies
    this.keeper = dependencies.keeper
    this.pageMarks = new PageMarks(dependencies.validation.states)
    this.unprovenLane = new UnprovenLane(dependencies.unproven, (id) => this.#work(id))
  }

  /** Starts nothing more, and waits for what is in progress. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.unprovenLane.settled()
    await Promise.allSettled(this.#inProgress.values())
  }

  /** Makes the state for one opening of a link in one browser. */
  mintState(link: ConnectLink, browserId: string): string {
    return mintState(this.#with.validation.states, link.id, browserId)
  }

  /** Returns true when a state is one of ours, for this browser. Needs no database. */
  isStateProven(state: string | undefined, browserId: string | undefined): boolean {
    return isStateProven(this.#with.validation.states, state, browserId)
  }

  /** Validates a callback, stores it in the inbox and starts to work on it. */
  async receive(
    path: string,
    query: CallbackQuery,
    visitor: Visitor,
    receivedAtMs?: number,
  ): Promise<Received> {
    const validated = await validateCallback(this.#with.validation, path, query, visitor)
    const received = 'problem' in validated ? validated : await this.#store(validated, receivedAtMs)
    if ('problem' in received) this.#with.onEnd(received.problem)
    return received
  }

  /**
   * Receives a call of the provider's server, which is not repeated. If PostgreSQL does not take it
   * at once, it is stored on disk and validated later.
   *
   * @returns `undefined` when it was stored on disk.
   */
  async receiveFromServer(
    path: string,
    query: CallbackQuery,
    network: string,
  ): Promise<Received | undefined> {
    const received = this.receive(path, query, { browserId: undefined, network })
    try {
      const first = await withTimeout(received, STORE_PATIENCE_MS, undefined)
      if (first !== undefined) return first
    } catch (error) {
      if (!isStorageFailure(error)) throw error
    }
    const isProven = this.isStateProven(query.state, undefined)
    const { keeper } = this.#with
    const name = keeper.keep(path, query, network, isProven ? 'proven' : undefined)
    received.then(
      () => keeper.forget(name),
      () => {},
    )
    return undefined
  }

  /**
   * Stores a code that an operator has (step 3.1 of the Kommo guide). Like any other code, it is
   * presented once. Throws `integration_not_found`, and `bad_request` when the domain is not the
   * host of an account.
   */
  async exchangeCode(order: OperatorCode, act: Act): Promise<string> {
    const callback = await callbackOfOperator(this.#with.validation.integrations, order)
    const received = await this.#store({ callback, isUsed: false, act })
    if ('problem' in received) throw new Error(`operator's code refused: ${received.problem}`)
    return received.id
  }

  /** Lists onboardings and refused consents, the newest first. */
  list(before: Date | undefined, limit: number): Promise<OnboardingRow[]> {
    return listOnboardings(this.#with.unproven.database.db, before, limit)
  }

  /** Finds one of `list`. @returns `undefined` when it does not exist. */
  async find(id: string): Promise<OnboardingRow | undefined> {
    const stored = await this.#with.inbox.find(id)
    return stored ?? findRefusedConsent(this.#with.unproven.database.db, id)
  }

  /**
   * Waits at most `waitMs` for the end of an onboarding. @returns `undefined` when it does not
   * exist.
   */
  async progress(id: string, waitMs: number): Promise<Progress | undefined> {
    const inProgress = this.#inProgress.get(id)
    if (inProgress !== undefined) await withTimeout(inProgress, waitMs, undefined)
    return this.#with.inbox.find(id)
  }

  async #store(
    {
      callback,
      isUsed,
      act,
    }: Exclude<ValidatedCallback, { problem: string }> & { act?: Act | undefined },
    receivedAtMs?: number,
  ): Promise<Received> {
    const { inbox } = this.#with
    const { linkId, origin } = callback
    if (isUsed) {
      // A page that is loaded again shows the outcome of its code, although the link is used up by
      // then.
      const known = await inbox.findByCode(callback.code)
      return known === undefined ? { problem: 'link_used', linkId } : { id: known }
    }
    const received = await inbox.receive(callback, receivedAtMs, act)
    if ('problem' in received) return linkId === undefined ? received : { ...received, linkId }
    failpoint('callback_received')
    if (!received.isNew) return { id: received.id }
    if (origin === 'install') this.unprovenLane.nudge()
    else this.#work(received.id)
    return { id: received.id }
  }

  async run(): Promise<void> {
    const { inbox, exchange } = this.#with
    this.#with.keeper.rememberExpected()
    await this.#receiveSpooled()
    await storeCodeResponses(exchange)
    await this.#removeUnproved()
    await inbox.finishExpired()
    for (const id of await inbox.findWaiting()) this.#work(id)
  }

  /** Receives the callbacks that were stored on disk while PostgreSQL was away. */
  async #receiveSpooled(): Promise<void> {
    const { keeper, unproven } = this.#with
    const { log } = unproven
    for await (const [name, { path, query, atMs }] of keeper.entries()) {
      const received = await this.receive(path, query, NOBODY, atMs)
      if ('problem' in received) log.warn({ problem: received.problem }, 'spooled callback refused')
      else log.info({ inbox: received.id }, 'spooled callback stored')
      await keeper.forget(name)
    }
  }

  async #removeUnproved(): Promise<void> {
    const { database, log } = this.#with.unproven
    const names = await removeUnprovedIntegrations(database)
    if (names.length > 0) log.warn({ integrations: names }, 'unproved integrations removed')
  }

  #work(id: string): Promise<void> {
    const known = this.#inProgress.get(id)
    if (this.#isStopping || known !== undefined) return known ?? Promise.resolve()
    const { integrations } = this.#with.validation
    const context = { ...this.#with, integrations }
    const work = finishOnboarding(context, id, () => this.#isStopping)
      .catch((err) => this.#with.unproven.log.error({ err, inbox: id }, 'onboarding failed'))
      .finally(() => this.#inProgress.delete(id))
    this.#inProgress.set(id, work)
    return work
  }
}
