import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'

const OWNER_ONLY = 0o600
const SUFFIX = '.kept'

/**
 * A folder in DATA_DIR for what exists nowhere else yet, one file each. Whoever writes here seals the text first.
 * Names are of letters, digits, `-` and `~`.
 */
export class Spool {
  readonly #folder: string

  constructor(dataDir: string) {
    this.#folder = join(dataDir, 'spool')
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
  }

  /** Returns when the disk has it, and blocks until then. Throws what the disk says. */
  keep(name: string, sealed: string): void {
    const file = openSync(this.#path(name), 'w', OWNER_ONLY)
    try {
      writeFileSync(file, sealed)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    this.#syncFolder()
  }

  /**
   * Puts another text into a file that is there, whole or not at all; one that was removed meanwhile stays removed.
   * Throws what the disk says.
   */
  replace(name: string, sealed: string): void {
    const draft = `${this.#path(name)}.new`
    const file = openSync(draft, 'w', OWNER_ONLY)
    try {
      writeFileSync(file, sealed)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    if (existsSync(this.#path(name))) renameSync(draft, this.#path(name))
    else unlinkSync(draft)
    this.#syncFolder()
  }

  /** Undefined: there is none. Throws what the disk says: a disk that fails is not an absent file. */
  async read(name: string): Promise<string | undefined> {
    return readFile(this.#path(name), 'utf8').catch(unlessAbsent)
  }

  async remove(name: string): Promise<void> {
    await unlink(this.#path(name)).catch(unlessAbsent)
  }

  /** All that this and earlier processes left here. */
  names(): string[] {
    const files = readdirSync(this.#folder).filter((file) => file.endsWith(SUFFIX))
    return files.map((file) => file.slice(0, -SUFFIX.length))
  }

  #path(name: string): string {
    return join(this.#folder, name + SUFFIX)
  }

  /** A new file's name is on disk only once its folder is. */
  #syncFolder(): void {
    const handle = openSync(this.#folder, 'r')
    try {
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
  }
}

function unlessAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
