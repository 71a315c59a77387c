import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import type { TeardownScope } from './teardown-scope.ts'
import { underLoad } from './under-load.ts'

/** Limit for the start, and for one step in a page, such as a click. */
const STEP_LIMIT_MS = 30_000
const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome']

/** @returns the path of Chromium or Chrome, or undefined when none is installed */
export function findChromium(): string | undefined {
  if (process.env.TEST_CHROMIUM) return process.env.TEST_CHROMIUM
  const folders = (process.env.PATH ?? '').split(delimiter)
  const files = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))
  return files.find((file) => existsSync(file))
}

/**
 * Starts a browser, which is closed when the test ends. Tests share one and open contexts of their
 * own, because a start takes more than a second of processor time.
 */
export async function openBrowser(t: TeardownScope, executablePath: string): Promise<Browser> {
  // Chromium refuses to run as root with its sandbox. It only opens pages of this test.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  const browser = await chromium.launch({
    executablePath,
    args,
    timeout: underLoad(STEP_LIMIT_MS),
  })
  browser.on('context', (context) => context.setDefaultTimeout(underLoad(STEP_LIMIT_MS)))
  t.teardown(() => browser.close())
  return browser
}
