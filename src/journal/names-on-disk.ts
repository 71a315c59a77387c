import { type AccountKey, keyText } from '../lib/account-key.ts'
import { nameText, type ResponseName } from './response-name.ts'

/** The names of the responses on this disk, by account, and which of them are open. */
export class NamesOnDisk {
  readonly #byAccount = new Map<string, Map<string, ResponseName>>()
  readonly #open = new Map<string, ResponseName>()

  /** Adds the name of an open response, without the response itself. */
  add({ integration, accountId, generation, attemptId }: ResponseName): void {
    const name = { integration, accountId, generation, attemptId }
    const key = keyText(name)
    const names = this.#byAccount.get(key) ?? new Map<string, ResponseName>()
    this.#byAccount.set(key, names.set(nameText(name), name))
    this.#open.set(nameText(name), name)
  }

  remove(name: ResponseName): void {
    const text = nameText(name)
    this.#open.delete(text)
    const names = this.#byAccount.get(keyText(name))
    names?.delete(text)
    if (names?.size === 0) this.#byAccount.delete(keyText(name))
  }

  /** Returns the names of an account, with those that are added while they are read. */
  of(key: AccountKey): Iterable<ResponseName> {
    return this.#byAccount.get(keyText(key))?.values() ?? []
  }

  all(): ResponseName[] {
    return [...this.#byAccount.values()].flatMap((each) => [...each.values()])
  }

  open(): ResponseName[] {
    return [...this.#open.values()]
  }

  get openCount(): number {
    return this.#open.size
  }

  isOpen(name: ResponseName): boolean {
    return this.#open.has(nameText(name))
  }

  /** Marks a response as not open. @returns true when it was open. */
  settle(name: ResponseName): boolean {
    return this.#open.delete(nameText(name))
  }

  reopenAll(): void {
    for (const names of this.#byAccount.values()) {
      for (const [text, name] of names) this.#open.set(text, name)
    }
  }

  reopen(key: AccountKey): void {
    for (const [text, name] of this.#byAccount.get(keyText(key)) ?? []) this.#open.set(text, name)
  }
}
