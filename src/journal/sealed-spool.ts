import { SealBroken } from '../lib/errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { spooledAt } from '../vault/sealed-places.ts'
import type { Spool } from './spool.ts'

/**
 * How values of one kind are written as text. The name carries what must be known without opening
 * the value.
 */
export interface SpoolFormat<T> {
  /** The first part of every name of this kind, up to and including the `~`. */
  prefix: string
  encode(value: T): string
  decode(name: string, text: string): T
}

/** `broken`: altered, torn by a power cut, or moved from another name. */
type SpoolRead<T> =
  | { state: 'read'; value: T }
  | { state: 'absent'; value?: undefined }
  | { state: 'broken'; value?: undefined }

/** Seals the value for its name. It opens under no other name. */
function sealAs<T>(keyRing: KeyRing, format: SpoolFormat<T>, name: string, value: T): string {
  return keyRing.seal(format.encode(value), spooledAt(name))
}

/**
 * Opens a sealed value. Throws `KeyMissing`.
 * @returns undefined when it is broken.
 */
export function openAs<T>(
  keyRing: KeyRing,
  format: SpoolFormat<T>,
  name: string,
  sealed: string,
): T | undefined {
  try {
    return format.decode(name, keyRing.open(sealed, spooledAt(name)).reveal())
  } catch (error) {
    if (error instanceof SealBroken) return undefined
    throw error
  }
}

/**
 * The values of one kind on this process's disk, sealed: those of this process and of the processes
 * before it.
 */
export class SealedSpool<T> {
  readonly #spool: Spool
  readonly #keyRing: KeyRing
  readonly #format: SpoolFormat<T>
  readonly #names: Set<string>

  constructor(spool: Spool, keyRing: KeyRing, format: SpoolFormat<T>) {
    this.#spool = spool
    this.#keyRing = keyRing
    this.#format = format
    this.#names = new Set(spool.names().filter((name) => name.startsWith(format.prefix)))
  }

  /** Returns the names of all values. */
  names(): string[] {
    return [...this.#names]
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  get size(): number {
    return this.#names.size
  }

  /**
   * Seals the value and returns once it is written (`Spool.append`). Throws the error of the disk;
   * the value is then written once the disk takes it.
   */
  append(name: string, value: T): void {
    this.#names.add(name)
    this.#spool.append(name, this.seal(name, value))
  }

  /** Seals the value and returns once it is flushed. Throws the error of the disk. */
  appendFlushed(name: string, value: T): void {
    this.#spool.appendFlushed(name, this.seal(name, value))
    this.#names.add(name)
  }

  /** See `Spool.flushed`. */
  flushed(name: string): Promise<boolean> {
    return this.#spool.flushed(name)
  }

  /** Whether the disk takes the next value. */
  hasSpace(): boolean {
    return this.#spool.health.hasSpace()
  }

  /** Says what is wrong with the disk, or null. */
  problem(): string | null {
    return this.#spool.health.problem()
  }

  /**
   * Reads and opens a value. Throws `KeyMissing` and the error of the disk: neither is an absent
   * value.
   */
  async read(name: string): Promise<SpoolRead<T>> {
    const sealed = await this.#spool.read(name)
    if (sealed === undefined) return { state: 'absent' }
    const value = this.open(name, sealed)
    return value === undefined ? { state: 'broken' } : { state: 'read', value }
  }

  async remove(name: string): Promise<void> {
    await this.#spool.remove(name)
    this.#names.delete(name)
  }

  /** Seals a value for a copy of it in another store. */
  seal(name: string, value: T): string {
    return sealAs(this.#keyRing, this.#format, name, value)
  }

  /**
   * Opens a copy of a value from another store. Throws `KeyMissing`.
   * @returns undefined when it is broken.
   */
  open(name: string, sealed: string): T | undefined {
    return openAs(this.#keyRing, this.#format, name, sealed)
  }
}
