import type { Logger } from 'pino'
import { type AccountKey, keyText } from '../accounts/account-key.ts'
import type { Spool } from '../db/spool.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Fence, KeptAnswer } from './answer.ts'
import { type KeptName, nameOfKept, openKept, parseKeptName, sealKept } from './kept-name.ts'
import type { RedisCopies } from './redis-copies.ts'

/** Answers of one look at the spool; the next sweep takes the rest. */
const LOOK = 100

/**
 * Answers of the provider from the tick that read them until a newer pair of their account is committed: on this
 * process's disk, and a copy in Redis for the others. A crash, a failed write, a disk that is gone and a failover that
 * forgets the commit lose none of them. Anyone may commit one at any time, under its own fence.
 */
export class KeptAnswers {
  readonly #spool: Spool
  readonly #copies: RedisCopies | null
  readonly #keyRing: KeyRing
  readonly #log: Logger
  /** What lies on this disk, by account and name. */
  readonly #onDisk = new Map<string, Map<string, KeptName>>()
  /** Of these: what is not known to be committed. */
  readonly #open = new Map<string, KeptName>()

  constructor(spool: Spool, copies: RedisCopies | null, keyRing: KeyRing, log: Logger) {
    this.#spool = spool
    this.#copies = copies
    this.#keyRing = keyRing
    this.#log = log
    for (const text of spool.names()) {
      const name = parseKeptName(text)
      if (name !== undefined) this.#remember(name)
    }
  }

  /**
   * On disk when it returns: it blocks, for the pair exists nowhere else yet. `copied` resolves when Redis has it too (true),
   * or will not have it. Never throws: what no store takes is still in memory, and its commit is tried again and again.
   */
  keep(kept: KeptAnswer): { copied: Promise<boolean> } {
    const name = nameOfKept(kept)
    const sealed = sealKept(this.#keyRing, kept)
    try {
      this.#spool.keep(name, sealed)
      this.#remember(nameOnly(kept))
    } catch (err) {
      this.#log.error({ err, answer: name }, 'answer could not be kept on disk')
    }
    return { copied: this.#copy(kept, sealed) }
  }

  async #copy(kept: KeptAnswer, sealed: string): Promise<boolean> {
    if (this.#copies === null) return false
    try {
      await this.#copies.keep(kept, sealed)
      return true
    } catch (err) {
      this.#log.warn({ err, answer: nameOfKept(kept) }, 'answer has no copy in Redis')
      return false
    }
  }

  /**
   * Every answer to this very token, of whichever attempt, the newest first. Throws when a store that may have one cannot be
   * asked, or a key is missing: neither is an absent answer.
   */
  async find(fence: Fence): Promise<KeptAnswer[]> {
    const found = new Map<string, KeptAnswer>()
    for (const name of this.#onDisk.get(keyText(fence))?.values() ?? []) {
      if (name.generation !== fence.generation) continue
      const kept = await this.#readDisk(name)
      if (kept !== undefined) found.set(nameOfKept(name), kept)
    }
    const copies = found.size > 0 ? [] : await this.#copies?.findAll(fence)
    for (const [name, sealed] of copies ?? []) {
      if (name.generation !== fence.generation) continue
      const kept = openKept(this.#keyRing, name, sealed)
      if (kept !== undefined) found.set(nameOfKept(name), kept)
    }
    return [...found.values()]
      .filter(({ fingerprint }) => fingerprint === fence.fingerprint)
      .sort((left, right) => right.attemptId - left.attemptId)
  }

  /** Some of those that are not known to be committed, from both stores; one that cannot be asked is left for later. */
  async *open(): AsyncGenerator<KeptAnswer> {
    for (const name of [...this.#open.values()].slice(0, LOOK)) {
      const kept = await this.#tryTo(() => this.#readDisk(name))
      if (kept !== undefined) yield kept
    }
    for (const name of (await this.#tryTo(() => this.#copies?.findOpen())) ?? []) {
      const kept = await this.#tryTo(() => this.#readCopy(name))
      if (kept !== undefined) yield kept
    }
  }

  /** The database has it: it stays for a failover that forgets that, until `forgetOlder`. */
  async markSettled(name: KeptName): Promise<void> {
    this.#open.delete(nameOfKept(name))
    await this.#copies?.markSettled(name)
  }

  /** What was kept of this account before this generation: a newer pair is committed. */
  async forgetOlder(key: AccountKey, generation: number): Promise<void> {
    const names = [...(this.#onDisk.get(keyText(key))?.values() ?? [])]
    const copies = ((await this.#copies?.findAll(key)) ?? []).map(([name]) => name)
    for (const name of [...names, ...copies]) {
      if (name.generation < generation) await this.forget(name)
    }
  }

  /** It lies elsewhere, durably: parked in the ledger, or replaced since. */
  async forget(name: KeptName): Promise<void> {
    const text = nameOfKept(name)
    await this.#spool.remove(text)
    this.#open.delete(text)
    const names = this.#onDisk.get(keyText(name))
    names?.delete(text)
    if (names?.size === 0) this.#onDisk.delete(keyText(name))
    await this.#copies?.remove(name)
    await this.#copies?.markSettled(name)
  }

  /** A gap in what was heard of the database: it may have been a failover that forgot commits. */
  reopen(): void {
    for (const names of this.#onDisk.values()) {
      for (const [text, name] of names) this.#open.set(text, name)
    }
  }

  /** The account came, went or moved: what lies here of it may be nobody's any more. */
  reopenAccount(key: AccountKey): void {
    for (const [text, name] of this.#onDisk.get(keyText(key)) ?? []) this.#open.set(text, name)
  }

  /** How many are not known to be committed, on this disk. */
  get openCount(): number {
    return this.#open.size
  }

  async #readDisk(name: KeptName): Promise<KeptAnswer | undefined> {
    const sealed = await this.#spool.read(nameOfKept(name))
    if (sealed === undefined) return undefined
    const kept = openKept(this.#keyRing, name, sealed)
    // Torn by a power cut before it was safe on disk. It stays where it is, and is looked at no more.
    if (kept === undefined && this.#open.delete(nameOfKept(name))) {
      this.#log.error({ answer: nameOfKept(name) }, 'kept answer is broken')
    }
    return kept
  }

  async #readCopy(name: KeptName): Promise<KeptAnswer | undefined> {
    const all = (await this.#copies?.findAll(name)) ?? []
    const [, sealed] = all.find(([each]) => nameOfKept(each) === nameOfKept(name)) ?? []
    const kept = sealed === undefined ? undefined : openKept(this.#keyRing, name, sealed)
    if (kept === undefined) await this.#copies?.markSettled(name)
    return kept
  }

  async #tryTo<T>(look: () => Promise<T> | undefined): Promise<T | undefined> {
    try {
      return await look()
    } catch (err) {
      this.#log.warn({ err }, 'kept answers not read')
      return undefined
    }
  }

  #remember(name: KeptName): void {
    const key = keyText(name)
    const names = this.#onDisk.get(key) ?? new Map<string, KeptName>()
    this.#onDisk.set(key, names.set(nameOfKept(name), name))
    this.#open.set(nameOfKept(name), name)
  }
}

function nameOnly({ integration, accountId, generation, attemptId }: KeptName): KeptName {
  return { integration, accountId, generation, attemptId }
}
