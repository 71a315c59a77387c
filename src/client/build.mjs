// Compiles the package into dist/. The comments go into the declarations only, and the indentation
// is removed, so that the package is at most 6 KB gzipped.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const dist = join(import.meta.dirname, 'dist')
const tsc = (...options) =>
  execFileSync('tsc', ['--project', import.meta.dirname, ...options], { stdio: 'inherit' })

rmSync(dist, { recursive: true, force: true })
tsc('--emitDeclarationOnly')
tsc('--declaration', 'false', '--removeComments')
for (const name of readdirSync(dist).filter((each) => each.endsWith('.js'))) {
  const file = join(dist, name)
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^ +/gm, ''))
}
