import type { Logger } from 'pino'
import type { AccountKey } from '../lib/account-key.ts'
import { FailureChange } from '../lib/failure-change.ts'
import type { Fence } from '../pairs/fence.ts'
import type { JournaledResponse } from '../pairs/received-pair.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { NamesOnDisk } from './names-on-disk.ts'
import type { GreatestNumbers, RedisCopies } from './redis-copies.ts'
import { nameText, parseResponseName, RESPONSE_FORMAT, type ResponseName } from './response-name.ts'
import { SealedSpool } from './sealed-spool.ts'
import type { Spool } from './spool.ts'

/** Responses per sweep. The next sweep takes the rest. */
const BATCH = 100

/**
 * The provider's responses from the tick that read them until a newer pair of their account is
 * committed: on this process's disk, with a copy in Redis for the other replicas. None is lost to a
 * crash, a failed write, a lost disk or a failover that forgets the commit (T2, T3, T5, T11). Every
 * replica may commit one at any time, under its own fence (R8).
 *
 * A response is *open* while it is not known to be committed, and *settled* afterwards.
 */
export class ResponseJournal {
  readonly #spool: SealedSpool<JournaledResponse>
  readonly #copies: RedisCopies | null
  readonly #log: Logger
  readonly #isFlushedFirst: boolean
  readonly #copyFailure = new FailureChange()
  readonly #readFailure = new FailureChange()
  readonly #onDisk = new NamesOnDisk()
  #timesReopened = 0

  /** `isFlushedFirst`: the database never flushes, so a commit waits for the journal's flush. */
  constructor(
    spool: Spool,
    copies: RedisCopies | null,
    keyRing: KeyRing,
    log: Logger,
    { isFlushedFirst = false } = {},
  ) {
    this.#isFlushedFirst = isFlushedFirst
    this.#spool = new SealedSpool(spool, keyRing, RESPONSE_FORMAT)
    this.#copies = copies
    this.#log = log
    for (const name of this.#spool.names().map(parseResponseName)) {
      if (name !== undefined) this.#onDisk.add(name)
    }
  }

  /**
   * Appends a response and returns once it is written, because the pair exists nowhere else yet.
   * `flushed` and `copied` resolve with whether the disk and Redis have it too. Never throws: a
   * response that no store takes is still in memory, and its writing and its commit are repeated.
   */
  append(response: JournaledResponse): { flushed: Promise<boolean>; copied: Promise<boolean> } {
    const name = nameText(response)
    this.#onDisk.add(response)
    try {
      this.#spool.append(name, response)
    } catch (err) {
      this.#log.error({ err, response: name }, 'response not written to disk')
    }
    return { flushed: this.#spool.flushed(name), copied: this.#copy(response) }
  }

  /** Resolves with whether the response is safe against a power loss, once its flush has ended. */
  flushed(name: ResponseName): Promise<boolean> {
    return this.#spool.flushed(nameText(name))
  }

  /**
   * To be called before a response is committed. With a database that never flushes, waits for the
   * flush of the response, and throws when it fails: a committed pair is served at once.
   */
  async beforeCommit(name: ResponseName): Promise<void> {
    if (!this.#isFlushedFirst || (await this.flushed(name))) return
    throw new Error('response is not flushed yet')
  }

  /** Whether the next response finds a second place beside the database: the disk, or Redis. */
  hasSecondPlace(): boolean {
    return this.#spool.hasSpace() || (this.#copies?.isReady ?? false)
  }

  /** Says what is wrong with the disk, or null. */
  problem(): string | null {
    return this.#spool.problem()
  }

  /**
   * Finds the greatest generation and attempt that a response in one of the stores was sent for.
   * Throws when Redis does not answer.
   */
  async greatest(): Promise<GreatestNumbers> {
    const inRedis = await this.#copies?.greatest()
    const all = [...this.#onDisk.all(), ...(inRedis === undefined ? [] : [inRedis])]
    return {
      generation: all.reduce((greatest, { generation }) => Math.max(greatest, generation), 0),
      attemptId: all.reduce((greatest, { attemptId }) => Math.max(greatest, attemptId), 0),
    }
  }

  async #copy(response: JournaledResponse): Promise<boolean> {
    if (this.#copies === null) return false
    const name = nameText(response)
    try {
      await this.#copies.append(response, this.#spool.seal(name, response))
      this.#copyFailure.hasEnded()
      return true
    } catch (err) {
      const level = this.#copyFailure.isNew(err) ? 'warn' : 'debug'
      this.#log[level]({ err, response: name }, 'response not copied to Redis')
      return false
    }
  }

  /**
   * Finds every response to this very token, of any attempt and generation, the newest first.
   * Throws when a store that may have one does not answer, or a key is missing: neither is an
   * absent response (T3).
   */
  async find(fence: Omit<Fence, 'generation'>): Promise<JournaledResponse[]> {
    const found: JournaledResponse[] = []
    for (const name of this.#onDisk.of(fence)) {
      const response = await this.#readDisk(name)
      if (response?.fingerprint === fence.fingerprint) found.push(response)
    }
    const copies = found.length > 0 ? [] : await this.#copies?.findAll(fence)
    for (const [name, sealed] of copies ?? []) {
      const response = this.#spool.open(nameText(name), sealed)
      if (response?.fingerprint === fence.fingerprint) found.push(response)
    }
    return found.sort((left, right) => right.attemptId - left.attemptId)
  }

  /**
   * Reads some of the open responses from both stores. A store that does not answer is asked again
   * by the next sweep.
   */
  async *openResponses(): AsyncGenerator<JournaledResponse> {
    for (const name of this.#onDisk.open().slice(0, BATCH)) {
      const response = await this.#logFailure(() => this.#readDisk(name))
      if (response !== undefined) yield response
    }
    for (const name of (await this.#logFailure(() => this.#copies?.findOpen())) ?? []) {
      const response = await this.#logFailure(() => this.#readCopy(name))
      if (response !== undefined) yield response
    }
  }

  /** Returns the generations that open responses on this disk were sent for. */
  openGenerations(): number[] {
    return [...new Set(this.#onDisk.open().map(({ generation }) => generation))]
  }

  /** Reads the open responses on this disk of these generations, as far as they can be read. */
  async *openOf(generations: ReadonlySet<number>): AsyncGenerator<JournaledResponse> {
    for (const name of this.#onDisk.open()) {
      if (!generations.has(name.generation)) continue
      const response = await this.#logFailure(() => this.#readDisk(name))
      if (response !== undefined) yield response
    }
  }

  /**
   * Marks a committed response. It stays until `forgetOlder`, because a failover may forget the
   * commit (T11).
   */
  async markSettled(name: ResponseName): Promise<void> {
    this.#onDisk.settle(name)
    await this.#copies?.markSettled(name)
  }

  /**
   * Removes the responses of an account from before this generation: a newer pair is committed, or
   * the account `isRemoved`. If it is not, an open one stays: the database may lack its pair (T17).
   */
  async forgetOlder(key: AccountKey, generation: number, { isRemoved = false } = {}) {
    const copies = ((await this.#copies?.findAll(key)) ?? []).map(([name]) => name)
    for (const name of [...this.#onDisk.of(key), ...copies]) {
      if (!isRemoved && this.#onDisk.isOpen(name)) continue
      if (name.generation < generation) await this.forget(name)
    }
  }

  /** Removes a response that the database has for good, or that was replaced since. */
  async forget(name: ResponseName): Promise<void> {
    await this.#spool.remove(nameText(name))
    this.#onDisk.remove(name)
    await this.#copies?.remove(name)
    await this.#copies?.markSettled(name)
  }

  /**
   * Opens the responses on this disk again: all after a gap in the notifications, or those of an
   * account that was added, removed or moved, because nobody may be entitled to them any more.
   */
  reopen(key?: AccountKey): void {
    if (key === undefined) {
      this.#timesReopened += 1
      this.#onDisk.reopenAll()
    } else this.#onDisk.reopen(key)
  }

  /** Grows with each gap. A commit that began before it may have been forgotten (T15). */
  get timesReopened() {
    return this.#timesReopened
  }

  /** Returns the newest attempt of an account whose response is on this disk; 0: none is. */
  newestAttempt(key: AccountKey): number {
    return Math.max(0, ...Array.from(this.#onDisk.of(key), ({ attemptId }) => attemptId))
  }

  get openCount(): number {
    return this.#onDisk.openCount
  }

  async #readDisk(name: ResponseName): Promise<JournaledResponse | undefined> {
    const { state, value } = await this.#spool.read(nameText(name))
    // Torn by a power cut before it was on disk. The file stays for a person to look at, and is not
    // read again.
    if (state === 'broken' && this.#onDisk.settle(name)) {
      this.#log.error({ response: nameText(name) }, 'journaled response is broken')
    }
    return value
  }

  async #readCopy(name: ResponseName): Promise<JournaledResponse | undefined> {
    const all = (await this.#copies?.findAll(name)) ?? []
    const [, sealed] = all.find(([each]) => nameText(each) === nameText(name)) ?? []
    const response = sealed === undefined ? undefined : this.#spool.open(nameText(name), sealed)
    if (response === undefined) await this.#copies?.markSettled(name)
    return response
  }

  async #logFailure<T>(read: () => Promise<T> | undefined): Promise<T | undefined> {
    try {
      const found = await read()
      this.#readFailure.hasEnded()
      return found
    } catch (err) {
      const level = this.#readFailure.isNew(err) ? 'warn' : 'debug'
      this.#log[level]({ err }, 'journaled responses not read')
      return undefined
    }
  }
}
