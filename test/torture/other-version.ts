import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TeardownScope } from '../support/teardown-scope.ts'

const run = promisify(execFile)

/**
 * Unpacks the broker as it was at a tag or commit, with the packages of its own lock file, so that
 * a replica can run it. Needs git and the npm registry. Returns its folder.
 */
export async function unpackVersion(
  scope: TeardownScope,
  ref: string,
  log: (line: string) => void,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'amo-version-'))
  scope.teardown(() => rm(folder, { recursive: true, force: true }))
  const archive = join(folder, 'source.tar')
  await run('git', ['archive', '--output', archive, `${ref}^{commit}`])
  await run('tar', ['-xf', archive, '-C', folder])
  log(`installing the packages of ${ref}`)
  const options = ['--omit=dev', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund']
  await run('npm', ['ci', ...options], { cwd: folder })
  return folder
}
