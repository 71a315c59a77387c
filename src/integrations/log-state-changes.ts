import type { Logger } from 'pino'
import type { Integration } from './integration.ts'
import type { OpenBreaker } from './store.ts'

type ByName = ReadonlyMap<string, Integration>

/**
 * Logs what stopped or resumed sending between two reads of the integrations. Every replica logs it
 * for itself.
 */
export function logStateChanges(before: ByName, after: ByName, log: Logger): void {
  const opened = breakersOf(after)
  const known = breakersOf(before)
  for (const [key, { reason, openUntil }] of opened) {
    if (!known.has(key))
      log.error({ breaker: key, reason, openUntil }, 'breaker opened, nothing is sent')
  }
  for (const key of known.keys()) {
    if (!opened.has(key)) log.info({ breaker: key }, 'breaker closed')
  }
  for (const { name, state, stateReason } of after.values()) {
    if (state === (before.get(name)?.state ?? 'running')) continue
    if (state === 'halted')
      log.error({ integration: name, reason: stateReason }, 'integration halted')
    else log.info({ integration: name, state }, 'integration state changed')
  }
}

function breakersOf(integrations: ByName): Map<string, OpenBreaker> {
  const all = [...integrations.values()].flatMap(({ breakers }) => breakers)
  return new Map(all.map((breaker) => [breaker.key, breaker]))
}
