import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** SQLITE_BUSY: another process has the lock. */
const BUSY = 5

/**
 * A lock on the folder for as long as this process lives. An exclusive SQLite transaction is a
 * kernel lock, so it ends with the process.
 */
export class FolderLock {
  readonly #path: string
  #lock: DatabaseSync | undefined

  constructor(folder: string) {
    this.#path = join(folder, 'lock.sqlite')
  }

  /**
   * Takes the lock unless this process has it.
   * @returns false when another process has it. A disk that fails is not another process.
   */
  take(): boolean {
    if (this.#lock !== undefined) return true
    let lock: DatabaseSync | undefined
    try {
      lock = new DatabaseSync(this.#path)
      lock.exec('begin exclusive')
      this.#lock = lock
      return true
    } catch (error) {
      lock?.close()
      return !(error instanceof Error && 'errcode' in error && error.errcode === BUSY)
    }
  }

  release(): void {
    this.#lock?.close()
    this.#lock = undefined
  }
}
