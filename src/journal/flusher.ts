import { close, constants, fdatasync, fsync, open } from 'node:fs'
import { promisify } from 'node:util'

const closeFile = promisify(close)
const flushData = promisify(fdatasync)
const flushAll = promisify(fsync)
const openFile = promisify(open)

/** A file that was written and is open, so that the error of its flush is reported here. */
interface WrittenFile {
  name: string
  file: number
}

/** Receives what came of each flush. */
interface FlushListener {
  onFlushed(name: string): void
  onFailed(name: string, error: Error): void
}

/**
 * Flushes written files off the event loop, one group at a time: the data of each, then the folder
 * once, because without it the name of a new file is not on disk. Files that are written meanwhile
 * make the next group.
 */
export class Flusher {
  readonly #folder: string
  readonly #listener: FlushListener
  #waiting: WrittenFile[] = []
  #isRunning = false

  constructor(folder: string, listener: FlushListener) {
    this.#folder = folder
    this.#listener = listener
  }

  /** Takes the file over and closes it. */
  add(written: WrittenFile): void {
    this.#waiting.push(written)
    if (!this.#isRunning) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      await this.#flush(group)
    }
    this.#isRunning = false
  }

  async #flush(group: WrittenFile[]): Promise<void> {
    const results = await Promise.allSettled(group.map(({ file }) => flushData(file)))
    const closed = await Promise.allSettled(group.map(({ file }) => closeFile(file)))
    const folder = await this.#flushFolder().catch((error: Error) => error)
    for (const [index, { name }] of group.entries()) {
      const failures = [results[index], closed[index]].filter((each) => each?.status === 'rejected')
      const error = failures[0]?.reason ?? folder
      if (error === undefined) this.#listener.onFlushed(name)
      else this.#listener.onFailed(name, error)
    }
  }

  async #flushFolder(): Promise<undefined> {
    const folder = await openFile(this.#folder, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await flushAll(folder)
    } finally {
      await closeFile(folder)
    }
  }
}
