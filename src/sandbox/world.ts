import { setTimeout as delay } from 'node:timers/promises'
import { createBooks } from './books.ts'
import { createCrm } from './crm.ts'
import { createDirectory } from './directory.ts'
import { createFaults } from './faults.ts'
import { createGrants } from './grants.ts'
import { createLimiter } from './limits.ts'
import type { SandboxOptions } from './options.ts'
import { resolveSettings } from './options.ts'
import { createOutbound } from './outbound.ts'

export type World = ReturnType<typeof createWorld>

/** Creates the state of a sandbox in memory. Two sandboxes in one process share nothing. */
export function createWorld(options: SandboxOptions) {
  const settings = resolveSettings(options)
  const closing = new AbortController()
  const closed: AbortSignal = closing.signal
  const directory = createDirectory()
  const world = {
    settings,
    closing: closed,
    directory,
    addIntegration: directory.addIntegration,
    addAccount: directory.addAccount,
    crm: createCrm(settings.clock),
    grants: createGrants(settings),
    books: createBooks(settings.booksSize, settings.clock),
    limiter: createLimiter(options.limits, settings.clock),
    faults: createFaults(settings.seed),
    outbound: createOutbound(settings.callbackOrigin, settings.clock),
    /** Waits for `ms`, or until the sandbox closes. */
    async sleep(ms: number): Promise<void> {
      await delay(ms, undefined, { signal: closed }).catch(() => {})
    },
    end: () => closing.abort(),
  }
  for (const seed of options.integrations ?? []) world.addIntegration(seed)
  for (const seed of options.accounts ?? []) world.addAccount(seed)
  return world
}
