import { collectDefaultMetrics, Gauge, type Registry } from '@prometheus-io/client'
import { VERSION } from '../db/schema-version.ts'

/** Registers the metrics of the process and of Node.js, and what runs here. */
export function registerProcessMetrics(registry: Registry, mode: string): void {
  collectDefaultMetrics({ register: registry })
  new Gauge({
    name: 'amo_build_info',
    help: 'Always 1: version of the broker, of Node.js, and the mode of storage; max over replicas',
    labelNames: ['version', 'node', 'mode'] as const,
    registers: [registry],
  }).set({ version: VERSION, node: process.versions.node, mode }, 1)
}
