import { randomFillSync } from 'node:crypto'
import { statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Disk space that is kept for responses: some hundred of the usual size. It is filled with random
 * bytes, because a file system that compresses would reserve nothing for zeros.
 */
const RESERVE_BYTES = 1024 * 1024

/** A file that takes up the space that responses need when the disk is full. */
export class Reserve {
  readonly #path: string

  constructor(folder: string) {
    this.#path = join(folder, 'reserve')
  }

  /** Takes the space, unless it is taken. Throws the error of the disk. */
  take(): void {
    const size = statSync(this.#path, { throwIfNoEntry: false })?.size
    if (size === RESERVE_BYTES) return
    try {
      writeFileSync(this.#path, randomFillSync(Buffer.alloc(RESERVE_BYTES)), { mode: 0o600 })
    } catch (error) {
      this.release()
      throw error
    }
  }

  /** Gives the space to the next file that is written. */
  release(): void {
    try {
      unlinkSync(this.#path)
    } catch {
      // There was none.
    }
  }
}
