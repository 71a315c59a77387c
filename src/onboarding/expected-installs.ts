import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Integrations } from '../integrations/directory.ts'
import type { CallbackQuery } from './validate-callback.ts'

const OWNER_ONLY = 0o600

interface Expected {
  path: string
  clientId: string
}

/**
 * Knows which installations are accepted. Remembers it in DATA_DIR, because the callbacks of
 * installations arrive also while the database has not been read yet. The file holds nothing that
 * a consent page does not show.
 */
export class ExpectedInstalls {
  readonly #integrations: Integrations
  readonly #file: string
  #remembered: Expected[]

  constructor(integrations: Integrations, dataDir: string) {
    this.#integrations = integrations
    this.#file = join(dataDir, 'installs.json')
    this.#remembered = read(this.#file)
  }

  /** Returns true when an integration accepts installations with this path and client id. */
  has(path: string, { client_id }: CallbackQuery): boolean {
    const known = this.#integrations.all().length === 0 ? this.#remembered : this.#present()
    return known.some((each) => each.path === path && (!client_id || each.clientId === client_id))
  }

  /** Writes the file if something has changed. Throws the error of the disk. */
  remember(): void {
    const present = this.#present()
    if (JSON.stringify(present) === JSON.stringify(this.#remembered)) return
    writeFileSync(`${this.#file}.new`, JSON.stringify(present), { mode: OWNER_ONLY })
    renameSync(`${this.#file}.new`, this.#file)
    this.#remembered = present
  }

  #present(): Expected[] {
    return this.#integrations
      .all()
      .filter(({ acceptsInstalls }) => acceptsInstalls)
      .map(({ redirectUri, clientId }) => ({ path: new URL(redirectUri).pathname, clientId }))
  }
}

function read(file: string): Expected[] {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'))
    return Array.isArray(value) ? value.filter(isExpected) : []
  } catch {
    // There is none yet, or it is damaged: then no place is reserved until the database is read.
    return []
  }
}

function isExpected(value: unknown): value is Expected {
  const { path, clientId } = (value ?? {}) as Partial<Expected>
  return typeof path === 'string' && typeof clientId === 'string'
}
