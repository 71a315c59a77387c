import { Counter, type Registry } from '@prometheus-io/client'
import type { Ending } from './finish.ts'

const ENDINGS: Record<Ending, true> = { delivered: true, retried: true, failed: true, late: true }

/**
 * Registers the counter of attempts. Each outcome exists with the value 0 from the first scrape.
 */
export function createDeliveryCounter(registry: Registry): Counter<'outcome'> {
  const counter = new Counter({
    name: 'amo_deliveries_total',
    help: 'Attempts to deliver a message by what became of it; sum over replicas',
    labelNames: ['outcome'] as const,
    registers: [registry],
  })
  for (const outcome of Object.keys(ENDINGS)) counter.inc({ outcome }, 0)
  return counter
}
