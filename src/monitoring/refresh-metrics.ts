import { Gauge, type Registry } from '@prometheus-io/client'
import type { IntegrationLabels } from '../integrations/integration-labels.ts'
import type { DatabaseSnapshot } from './database-snapshot.ts'

/**
 * Registers the gauges of due refreshes and of their claims. They are the same on every replica.
 */
export function registerRefreshMetrics(
  registry: Registry,
  snapshot: DatabaseSnapshot,
  labels: IntegrationLabels,
): void {
  const registers = [registry]
  new Gauge({
    name: 'amo_refresh_due',
    help: 'Accounts in use whose refresh is due, up to 10,000; max over replicas',
    labelNames: ['integration'] as const,
    registers,
    async collect() {
      const { integrations } = await snapshot.get()
      this.reset()
      for (const { integration, dueAccounts } of integrations) {
        this.inc({ integration: labels.of(integration) }, dueAccounts)
      }
    },
  })
  new Gauge({
    name: 'amo_refresh_due_age_seconds',
    help: 'How late the most overdue account in use is; if it grows, the backlog exceeds the pace; max over replicas',
    labelNames: ['integration'] as const,
    registers,
    async collect() {
      const { integrations } = await snapshot.get()
      const rows = integrations.map((each) => [each.integration, each.dueSeconds] as const)
      this.reset()
      for (const [integration, value] of highest(rows, labels)) this.set({ integration }, value)
    },
  })
  new Gauge({
    name: 'amo_pace_used_ratio',
    help: 'Used share of the pace bucket; if it stays near 1, refreshes wait for PACE_PER_SECOND; max over replicas',
    labelNames: ['integration'] as const,
    registers,
    async collect() {
      const { integrations } = await snapshot.get()
      const rows = integrations.map((each) => [each.integration, each.paceUsed] as const)
      this.reset()
      for (const [integration, value] of highest(rows, labels)) this.set({ integration }, value)
    },
  })
  new Gauge({
    name: 'amo_claims_unresolved',
    help: 'Refreshes whose lease has expired and whose outcome is not known yet; max over replicas',
    registers,
    async collect() {
      this.set((await snapshot.get()).unresolvedClaims)
    },
  })
}

/** Returns the highest value of each label. */
function highest(
  rows: (readonly [integration: string, value: number])[],
  labels: IntegrationLabels,
): Map<string, number> {
  const found = new Map<string, number>()
  for (const [integration, value] of rows) {
    const label = labels.of(integration)
    found.set(label, Math.max(found.get(label) ?? 0, value))
  }
  return found
}
