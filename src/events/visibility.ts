import { type Caller, mayRead } from '../clients/caller.ts'
import type { EventRow } from './event-json.ts'

/** A monitor sees neither clients, nor links, nor deliveries. */
const OPERATORS_ONLY = /^(client_key|onboarding|endpoint)\./

/**
 * Returns whether the caller may see the event. A reader sees what happens to the accounts of its
 * grants, a monitor every state, an operator everything.
 */
export function maySeeEvent(caller: Caller, event: EventRow): boolean {
  if (caller.role === 'operator') return true
  if (OPERATORS_ONLY.test(event.type)) return false
  if (caller.role === 'monitor') return true
  const { type, integration, accountId } = event
  if (integration === null || accountId === null || !type.startsWith('account.')) return false
  return mayRead(caller, { integration, accountId })
}
