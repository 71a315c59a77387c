import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TeardownScope } from './teardown-scope.ts'

/**
 * Makes a folder for the data of a broker. It is removed when the test ends, after the brokers that
 * start later have ended. tap's `testdir()` removes its folder before any teardown, while a broker
 * still writes into it. If that fails, no teardown runs, and the process of the test never ends.
 */
export function makeDataDir(t: TeardownScope): string {
  const folder = mkdtempSync(join(tmpdir(), 'amo-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
