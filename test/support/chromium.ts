import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type BrowserContext, chromium } from 'playwright-core'
import type { Scope } from './scope.ts'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome']

/** Undefined where there is none. */
export function findChromium(): string | undefined {
  if (process.env.TEST_CHROMIUM) return process.env.TEST_CHROMIUM
  const folders = (process.env.PATH ?? '').split(delimiter)
  const files = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))
  return files.find((file) => existsSync(file))
}

/** A person's browser, with nothing in it. */
export async function openBrowser(t: Scope, executablePath: string): Promise<BrowserContext> {
  // As root it starts without its own sandbox alone; here it sees nobody's pages but ours.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  const browser = await chromium.launch({ executablePath, args })
  t.teardown(() => browser.close())
  return browser.newContext()
}
