import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
} from 'node:fs'
import { open, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Flusher } from './flusher.ts'
import { SpoolHealth } from './spool-health.ts'
import { writeWhole } from './write-whole.ts'

const SUFFIX = '.kept'
const DRAFT = '.new'
const RETRY_MS = 1_000

/** A file that is written and not known to be flushed. */
interface Unflushed {
  sealed: string
  /** Resolves with the result of the flush that is running. Undefined: it failed. */
  flush: PromiseWithResolvers<boolean> | undefined
}

/**
 * A folder in DATA_DIR for values that exist nowhere else yet, one file each. Texts are sealed
 * before they come here (`SealedSpool`). Names consist of letters, digits, `-` and `~`.
 *
 * A file is written in the tick of `append`, which protects it against a kill. It is flushed off
 * the event loop, which protects it against a power loss. A text that could not be written or
 * flushed is written to a new file until the disk takes it.
 */
export class Spool {
  readonly health: SpoolHealth
  readonly #folder: string
  readonly #flusher: Flusher
  readonly #unflushed = new Map<string, Unflushed>()
  readonly #flushed = new Set<string>()

  constructor(dataDir: string) {
    this.#folder = join(dataDir, 'spool')
    this.health = new SpoolHealth(this.#folder, () => this.#makeFolder())
    this.#flusher = new Flusher(this.#folder, {
      onFlushed: (name) => this.#onFlushed(name),
      onFailed: (name, error) => this.#onFailed(name, error),
    })
    this.#makeFolder()
    this.#removeScraps()
  }

  /**
   * Writes a new file before it returns; `flushed` knows when it is safe against a power loss.
   * Throws the error of the disk. The text is then written once the disk takes it.
   */
  append(name: string, sealed: string): void {
    const unflushed: Unflushed = { sealed, flush: Promise.withResolvers<boolean>() }
    this.#unflushed.set(name, unflushed)
    this.#flushed.delete(name)
    try {
      this.#flusher.add({ name, file: this.#write(this.#path(name), sealed) })
    } catch (error) {
      this.#onFailed(name, error)
      throw error
    }
  }

  /**
   * Writes a new file and returns once it is flushed. Blocks until then. Throws the error of the
   * disk; then nothing is left of the file.
   */
  appendFlushed(name: string, sealed: string): void {
    const path = this.#path(name)
    const file = this.#write(path, sealed)
    try {
      fsyncSync(file)
      this.#syncFolder()
    } catch (error) {
      unlinkSync(path)
      throw error
    } finally {
      closeSync(file)
    }
  }

  /**
   * Resolves with whether the file is safe against a power loss, once its flush has ended. A file
   * of an earlier process is flushed first. A file that is not here counts as safe.
   */
  async flushed(name: string): Promise<boolean> {
    const unflushed = this.#unflushed.get(name)
    if (unflushed !== undefined) return unflushed.flush?.promise ?? false
    if (this.#flushed.has(name)) return true
    try {
      const file = await open(this.#path(name), 'r')
      await file.datasync().finally(() => file.close())
      this.#flushed.add(name)
      return true
    } catch (error) {
      return isAbsent(error)
    }
  }

  /**
   * Replaces the text of an existing file, completely or not at all. A file that was removed
   * meanwhile stays removed. Throws the error of the disk.
   */
  replace(name: string, sealed: string): void {
    const draft = this.#path(name) + DRAFT
    const file = this.#write(draft, sealed)
    try {
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    if (existsSync(this.#path(name))) renameSync(draft, this.#path(name))
    else unlinkSync(draft)
    this.#syncFolder()
  }

  /**
   * Throws the error of the disk: a disk that fails is not an absent file.
   * @returns undefined when there is no such file, or nothing in it.
   */
  async read(name: string): Promise<string | undefined> {
    const text = await readFile(this.#path(name), 'utf8').catch(unlessAbsent)
    return text || this.#unflushed.get(name)?.sealed
  }

  async remove(name: string): Promise<void> {
    this.#unflushed.get(name)?.flush?.resolve(true)
    this.#unflushed.delete(name)
    this.#flushed.delete(name)
    await unlink(this.#path(name)).catch(unlessAbsent)
  }

  /** Lists the files of this process and of those before it. */
  names(): string[] {
    return this.#files()
      .filter((file) => file.endsWith(SUFFIX))
      .map((file) => file.slice(0, -SUFFIX.length))
  }

  #onFlushed(name: string): void {
    const unflushed = this.#unflushed.get(name)
    if (unflushed === undefined) return
    this.#unflushed.delete(name)
    this.#flushed.add(name)
    unflushed.flush?.resolve(true)
    if (this.#unflushed.size === 0) this.health.onWritten()
  }

  /** Ends the wait for this flush, and writes the text to a new file after a while. */
  #onFailed(name: string, error: unknown): void {
    this.health.onFailed(error)
    const unflushed = this.#unflushed.get(name)
    if (unflushed === undefined) return
    unflushed.flush?.resolve(false)
    unflushed.flush = undefined
    setTimeout(() => this.#rewrite(name), RETRY_MS).unref()
  }

  /** After a failed flush, the pages of the old file cannot be trusted. */
  #rewrite(name: string): void {
    const unflushed = this.#unflushed.get(name)
    if (unflushed === undefined) return
    const draft = this.#path(name) + DRAFT
    try {
      const file = this.#write(draft, unflushed.sealed)
      renameSync(draft, this.#path(name))
      unflushed.flush = Promise.withResolvers()
      this.#flusher.add({ name, file })
    } catch (error) {
      this.#onFailed(name, error)
    }
  }

  /**
   * Writes a whole file, and returns it open. Uses the reserved space when the disk is full, and
   * makes the folder again when it was removed. Leaves no file behind when it fails.
   */
  #write(path: string, text: string): number {
    try {
      return writeWhole(path, text)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') this.#makeFolder()
      else if (codeOf(error) === 'ENOSPC') this.health.useReserve()
      else throw error
      return writeWhole(path, text)
    }
  }

  #makeFolder(): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
  }

  /** Removes what an earlier version or a killed process has left: empty files, and drafts. */
  #removeScraps(): void {
    for (const file of this.#files()) {
      const path = join(this.#folder, file)
      const isEmpty = file.endsWith(SUFFIX) && statSync(path, NO_THROW)?.size === 0
      if (isEmpty || file.endsWith(DRAFT)) unlinkSync(path)
    }
  }

  #files(): string[] {
    return existsSync(this.#folder) ? readdirSync(this.#folder) : []
  }

  #path(name: string): string {
    return join(this.#folder, name + SUFFIX)
  }

  /** Flushes the folder: without it, the name of a new file is not on disk. */
  #syncFolder(): void {
    const handle = openSync(this.#folder, 'r')
    try {
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
  }
}

const NO_THROW = { throwIfNoEntry: false } as const

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function isAbsent(error: unknown): boolean {
  return codeOf(error) === 'ENOENT'
}

function unlessAbsent(error: unknown): undefined {
  if (!isAbsent(error)) throw error
}
