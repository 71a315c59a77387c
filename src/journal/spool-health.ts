import { unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FolderLock } from './folder-lock.ts'
import { Reserve } from './reserve.ts'

/** A result is believed for this long: each send asks. */
const CHECK_MS = 1_000

/**
 * Knows whether the folder takes the next response. It is tried by writing, because a disk that is
 * full, read-only or gone shows it only then.
 */
export class SpoolHealth {
  readonly #folder: string
  readonly #makeFolder: () => void
  readonly #reserve: Reserve
  readonly #lock: FolderLock
  #checkedAtMs = Number.NEGATIVE_INFINITY
  /** Why the folder does not take a response. */
  #failure: string | null = null
  /** Why a response that was appended is not on disk. */
  #unwritten: string | null = null
  #isShared = false

  constructor(folder: string, makeFolder: () => void) {
    this.#folder = folder
    this.#makeFolder = makeFolder
    this.#reserve = new Reserve(folder)
    this.#lock = new FolderLock(folder)
  }

  /** Whether the next response finds a place, and those before it found theirs. */
  hasSpace(): boolean {
    this.#check()
    return this.#failure === null && this.#unwritten === null
  }

  /** Says what is wrong with the folder, or null. */
  problem(): string | null {
    this.#check()
    const code = this.#unwritten ?? this.#failure
    if (code !== null) return `responses are not written to DATA_DIR: ${code}`
    return this.#isShared ? 'another broker uses the same DATA_DIR' : null
  }

  onFailed(error: unknown): void {
    this.#unwritten = codeOf(error)
  }

  /** To be called when every response that was appended is on disk. */
  onWritten(): void {
    this.#unwritten = null
  }

  /** Gives the reserved space to the file that is written next. */
  useReserve(): void {
    this.#reserve.release()
    this.#checkedAtMs = Number.NEGATIVE_INFINITY
  }

  /** Lets the next process have the folder. */
  release(): void {
    this.#lock.release()
  }

  #check(): void {
    const nowMs = performance.now()
    if (nowMs - this.#checkedAtMs < CHECK_MS) return
    this.#checkedAtMs = nowMs
    const trial = join(this.#folder, 'trial')
    try {
      this.#makeFolder()
      this.#reserve.take()
      writeFileSync(trial, 'x', { mode: 0o600 })
      unlinkSync(trial)
      this.#failure = null
    } catch (error) {
      this.#failure = codeOf(error)
    }
    this.#isShared = !this.#lock.take()
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
}
