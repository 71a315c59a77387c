import { Counter, type Registry } from '@prometheus-io/client'
import { EVENT_TYPES } from '../contract/events.ts'

/** Registers the counter of events. Each type is there from the start, with 0. */
export function createEventCounter(registry: Registry): Counter<'type'> {
  const counter = new Counter({
    name: 'amo_events_total',
    help: 'Events that this process gave a position; sum over replicas',
    labelNames: ['type'] as const,
    registers: [registry],
  })
  for (const type of EVENT_TYPES) counter.inc({ type }, 0)
  return counter
}
