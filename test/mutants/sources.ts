import { cpSync, existsSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..')
const TAP = join(ROOT, '.tap', 'plugins')
const LINKS_AS_THEY_ARE = { recursive: true, verbatimSymlinks: true }
/** Everything that the tests read. */
const COPIED = ['src', 'test', 'sql', 'openapi', 'package.json', '.env.example', 'tsconfig.json']

export function readSource(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

/** Copies the repository to a temporary folder, with a link to the same node_modules. */
export function copyRepository(): string {
  const copy = mkdtempSync(join(tmpdir(), 'amo-mutant-'))
  for (const name of COPIED) cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  // Copies the plugins that tap has built, so that a copy does not build them again.
  if (existsSync(TAP)) cpSync(TAP, join(copy, '.tap', 'plugins'), LINKS_AS_THEY_ARE)
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

export function writeSource(copy: string, file: string, text: string): void {
  writeFileSync(join(copy, file), text)
}
