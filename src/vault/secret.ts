import { inspect } from 'node:util'

const SHOWN = '[secret]'

/**
 * Holds a value that prints, serialises and inspects as `[secret]`. Call `reveal()` only where the
 * value is used.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** Returns the value itself. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return SHOWN
  }

  toJSON(): string {
    return SHOWN
  }

  [inspect.custom](): string {
    return SHOWN
  }
}
