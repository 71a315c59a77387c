import { setTimeout as delay } from 'node:timers/promises'
import { BrokerError } from '../errors.ts'
import type { Integration } from '../integrations/service.ts'
import { allowedHost, needsAccountHost, typedHost } from '../provider/profiles.ts'
import { Repeated } from '../repeated.ts'
import { Secret } from '../vault/secret.ts'
import {
  finishOnboarding,
  type OnboardingDependencies,
  storeKeptCodes,
} from './finish-onboarding.ts'
import {
  type Callback,
  findCallback,
  findCallbackByCode,
  findCallbacks,
  findWaitingCallbacks,
  type InboxRow,
  receiveCallback,
} from './inbox.ts'
import type { ConnectLink } from './links.ts'
import { checkState, mintState } from './state.ts'

const WORKER_INTERVAL_MS = 5_000

/** What a callback's query says. */
export interface CallbackQuery {
  code?: string | undefined
  state?: string | undefined
  referer?: string | undefined
  client_id?: string | undefined
  error?: string | undefined
}

/** What became of a callback, as far as it has become: an `outcome` of null is under way. */
export type Progress = InboxRow

/**
 * Onboarding: callback → inbox → exchange → confirmation → `amo_tokens`. Every step is written down before the next, so
 * that whoever comes after a crash goes on where it stopped; a code is presented once.
 */
export class Onboarding {
  readonly #with: OnboardingDependencies
  readonly #underWay = new Map<string, Promise<void>>()
  readonly #worker: Repeated
  #isStopping = false

  constructor(dependencies: OnboardingDependencies) {
    this.#with = dependencies
    this.#worker = new Repeated('inbox', WORKER_INTERVAL_MS, () => this.#takeUp(), dependencies.log)
  }

  /** Takes up what a process left that died. */
  start(): void {
    this.#worker.start()
  }

  /** Takes up nothing any more, and waits for what is under way. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#worker.stop()
    await Promise.allSettled(this.#underWay.values())
  }

  /** The state for one opening of a link in one browser. */
  mintState(link: ConnectLink, browserId: string): string {
    return mintState(this.#with.states, link.id, browserId)
  }

  /**
   * Judges a callback and puts it into the inbox, then sets to work on it. Returns the inbox id, or the code of what is
   * wrong with it; nothing is stored then.
   */
  async receive(
    integrations: Integration[],
    query: CallbackQuery,
    browserId: string | undefined,
  ): Promise<{ id: string } | { problem: string }> {
    if (query.error !== undefined) return { problem: 'access_denied' }
    if (query.code === undefined || query.code === '') return { problem: 'no_code' }
    // The provider writes these where no state was sent (provider page, part 1).
    if (!query.state || query.state === 'state' || query.state === 'false') {
      return { problem: 'no_state' }
    }
    const checked = checkState(this.#with.states, query.state, browserId)
    if ('problem' in checked) return checked
    const link = await this.#with.links.findById(checked.linkId)
    const integration = integrations.find(({ name }) => name === link?.integration)
    if (link === undefined || integration === undefined) return { problem: 'state_forged' }
    if (query.client_id && query.client_id !== integration.clientId) {
      return { problem: 'foreign_client' }
    }
    const referer = allowedHost(integration.profile, query.referer ?? '') ?? null
    const isMissing = !query.referer && !needsAccountHost(integration.profile)
    if (referer === null && !isMissing) return { problem: 'foreign_referer' }
    return this.#receive(link, {
      origin: 'consent',
      integration: integration.name,
      code: new Secret(query.code),
      referer,
      linkId: link.id,
    })
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
    const { database, keyRing, committer, integrations } = this.#with
    const { name, profile } = await integrations.load(order.integration)
    const referer = typedHost(profile, order.domain)
    if (referer === undefined) {
      throw new BrokerError('bad_request', 'domain: it is no account host of the platform.')
    }
    const callback = { origin: 'manual' as const, integration: name, code: order.code, referer }
    const id = await receiveCallback(database.db, keyRing, committer.fingerprints, callback)
    this.#work(id)
    return id
  }

  /** What came in, the newest first. */
  list(before: Date | undefined, limit: number): Promise<InboxRow[]> {
    return findCallbacks(this.#with.database.db, before, limit)
  }

  async #receive(
    link: ConnectLink,
    callback: Callback,
  ): Promise<{ id: string } | { problem: string }> {
    const { database, keyRing, committer } = this.#with
    const { fingerprints } = committer
    // A page that is loaded again shows what became of its code, though the link is used up by then.
    const known = await findCallbackByCode(database.db, fingerprints, callback.code)
    if (known !== undefined) return { id: known }
    if (link.isUsed) return { problem: 'link_used' }
    const id = await receiveCallback(database.db, keyRing, fingerprints, callback)
    this.#work(id)
    return { id }
  }

  /** Waits for the end of an onboarding for at most `waitMs`. Undefined: there is no such one. */
  async progress(id: string, waitMs: number): Promise<Progress | undefined> {
    const timer = new AbortController()
    const waited = delay(waitMs, undefined, timer).catch(() => {})
    await Promise.race([this.#underWay.get(id), waited])
    timer.abort()
    return findCallback(this.#with.database.db, id)
  }

  async #takeUp(): Promise<void> {
    const { database, worker } = this.#with
    await storeKeptCodes(this.#with)
    for (const id of await findWaitingCallbacks(database.db, worker)) this.#work(id)
  }

  #work(id: string): void {
    if (this.#isStopping || this.#underWay.has(id)) return
    const work = finishOnboarding(this.#with, id)
      .catch((err) => this.#with.log.error({ err, inbox: id }, 'onboarding broke off'))
      .finally(() => this.#underWay.delete(id))
    this.#underWay.set(id, work)
  }
}
