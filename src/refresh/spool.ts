import { closeSync, fsyncSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { readdir, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type AccountKey, keyText } from '../accounts/account-key.ts'
import type { KeyRing, SealedAt } from '../vault/key-ring.ts'
import { type Answer, pairFromJson, pairToJson } from './answer.ts'

const OWNER_ONLY = 0o600
const SUFFIX = '.kept'

type Entry = Omit<Answer, 'pair'> & { sealedPair: string }

/**
 * Answers on disk, sealed, one file each, from the tick that read them until a newer pair of their account is
 * committed: a crash, a failed write and a failover that forgets the commit lose none of them.
 */
export class Spool {
  readonly #folder: string
  readonly #keyRing: KeyRing
  /** The files of each account and their generations, as far as this process knows them. */
  readonly #files = new Map<string, Map<string, number>>()

  constructor(dataDir: string, keyRing: KeyRing) {
    this.#folder = join(dataDir, 'spool')
    this.#keyRing = keyRing
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
  }

  /** Returns when the disk has it. Blocks meanwhile: the pair exists nowhere else yet. Throws what the disk says. */
  keep(answer: Answer): void {
    const { pair, ...rest } = answer
    const sealedPair = this.#keyRing.seal(pairToJson(pair), placeOf(answer))
    const entry: Entry = { ...rest, sealedPair }
    const file = openSync(join(this.#folder, fileOf(answer)), 'w', OWNER_ONLY)
    try {
      writeFileSync(file, JSON.stringify(entry))
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    syncFolder(this.#folder)
    this.#remember(answer)
  }

  /** Removes what was kept for this account before `newest`, whose commit made it superfluous. */
  async forgetOlder(newest: Answer): Promise<void> {
    for (const [file, generation] of this.#files.get(keyText(newest)) ?? []) {
      if (generation < newest.generation) await this.#remove(newest, file)
    }
  }

  async forget(answer: Answer): Promise<void> {
    await this.#remove(answer, fileOf(answer))
  }

  /** The answer that was kept for this attempt, here. Throws what the disk says. */
  async find(attempt: Omit<Answer, 'pair' | 'sentAtMs'>): Promise<Answer | undefined> {
    try {
      return this.#open(await readFile(join(this.#folder, fileOf(attempt)), 'utf8'))
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return undefined
      throw error
    }
  }

  /** Everything kept by this and earlier processes in this folder. What cannot be read is named to `onBroken`. */
  async *entries(onBroken: (file: string, error: unknown) => void): AsyncGenerator<Answer> {
    for (const file of await readdir(this.#folder)) {
      if (!file.endsWith(SUFFIX)) continue
      try {
        const answer = this.#open(await readFile(join(this.#folder, file), 'utf8'))
        this.#remember(answer)
        yield answer
      } catch (error) {
        onBroken(file, error)
      }
    }
  }

  #open(text: string): Answer {
    const { sealedPair, ...rest }: Entry = JSON.parse(text)
    const pair = pairFromJson(this.#keyRing.open(sealedPair, placeOf(rest)).reveal())
    return { ...rest, pair }
  }

  #remember(answer: Answer): void {
    const key = keyText(answer)
    const files = this.#files.get(key) ?? new Map<string, number>()
    this.#files.set(key, files.set(fileOf(answer), answer.generation))
  }

  async #remove(key: AccountKey, file: string): Promise<void> {
    await unlink(join(this.#folder, file)).catch((error) => {
      if (error.code !== 'ENOENT') throw error
    })
    this.#files.get(keyText(key))?.delete(file)
  }
}

function placeOf(entry: AccountKey & { generation: number }): SealedAt {
  return { table: 'spool', row: keyText(entry), column: 'pair', generation: entry.generation }
}

function fileOf({
  integration,
  accountId,
  generation,
  attemptId,
}: Omit<Answer, 'pair' | 'sentAtMs'>): string {
  return `${integration}~${accountId}~${generation}-${attemptId}${SUFFIX}`
}

/** A new file's name is on disk only once its folder is. */
function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
