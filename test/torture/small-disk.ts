import { execFile } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TeardownScope } from '../support/teardown-scope.ts'

const run = promisify(execFile)
/** Some thousand responses, and several of 256 KB. */
const SIZE = '16m'
const CHUNK = Buffer.alloc(64 * 1024, 'x')
const LAST_BYTES = Buffer.alloc(512, 'x')

/** A small file system of its own that can be filled. */
export class SmallDisk {
  readonly folder: string
  readonly #filler: string

  private constructor(folder: string) {
    this.folder = folder
    this.#filler = join(folder, 'filler')
  }

  /** Mounts it. Returns undefined where that is not allowed. */
  static async mount(scope: TeardownScope, folder: string): Promise<SmallDisk | undefined> {
    mkdirSync(folder, { recursive: true })
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', folder])
    } catch {
      return undefined
    }
    scope.teardown(() => run('umount', ['-l', folder]).catch(() => {}))
    return new SmallDisk(folder)
  }

  /** Takes all the space that is left. */
  async fill(): Promise<void> {
    const file = openSync(this.#filler, 'a')
    for (const bytes of [CHUNK, LAST_BYTES]) while (hasRoomFor(file, bytes)) {}
    closeSync(file)
  }

  async clear(): Promise<void> {
    await rm(this.#filler, { force: true })
  }
}

function hasRoomFor(file: number, bytes: Buffer): boolean {
  try {
    return writeSync(file, bytes) === bytes.length
  } catch {
    return false
  }
}
