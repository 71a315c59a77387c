import { closeSync, openSync, unlinkSync, writeFileSync } from 'node:fs'

const OWNER_ONLY = 0o600

/**
 * Writes a whole file, which only its owner can read, and returns it open. Throws the error of the
 * disk and leaves no file behind then.
 */
export function writeWhole(path: string, text: string): number {
  const file = openSync(path, 'w', OWNER_ONLY)
  try {
    writeFileSync(file, text)
    return file
  } catch (error) {
    closeSync(file)
    unlinkSync(path)
    throw error
  }
}
