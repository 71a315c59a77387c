import { collectDefaultMetrics, Gauge, type Registry } from '@prometheus-io/client'
import { VERSION } from '../db/schema-version.ts'

/**
 * How often the utilization of the event loop is recorded. Each record updates a sketch of
 * quantiles. With the library's default of 100 ms, this took 1.1 ms of processor time a second.
 */
const UTILIZATION_INTERVAL_MS = 1_000

/** Registers the metrics of the process and of Node.js, and what runs here. */
export function registerProcessMetrics(registry: Registry, mode: string): void {
  collectDefaultMetrics({
    register: registry,
    eventLoopUtilizationTimeout: UTILIZATION_INTERVAL_MS,
  })
  new Gauge({
    name: 'amo_build_info',
    help: 'Always 1: version of the broker, of Node.js, and the mode of storage; max over replicas',
    labelNames: ['version', 'node', 'mode'] as const,
    registers: [registry],
  }).set({ version: VERSION, node: process.versions.node, mode }, 1)
}
