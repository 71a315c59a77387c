import { Counter, Gauge, type Registry } from '@prometheus-io/client'
import type { ExpiryWatch } from '../accounts/expiry-watch.ts'
import type { AccountStatus } from '../db/tables/accounts.ts'
import type { IntegrationLabels } from '../integrations/integration-labels.ts'
import type { DatabaseSnapshot } from './database-snapshot.ts'

const STATUSES: readonly AccountStatus[] = ['active', 'pending', 'reauth_required', 'disconnected']

/** Registers the metrics of accounts. They are the same on every replica. */
export function registerAccountMetrics(
  registry: Registry,
  snapshot: DatabaseSnapshot,
  labels: IntegrationLabels,
  expiryWatch: Pick<ExpiryWatch, 'counts'>,
): void {
  const registers = [registry]
  new Gauge({
    name: 'amo_accounts',
    help: 'Accounts by integration and status; max over replicas',
    labelNames: ['integration', 'status'] as const,
    registers,
    async collect() {
      const { accounts } = await snapshot.get()
      this.reset()
      for (const integration of labels.all()) {
        for (const status of STATUSES) this.set({ integration, status }, 0)
      }
      for (const each of accounts) {
        this.inc({ integration: labels.of(each.integration), status: each.status }, each.accounts)
      }
    },
  })
  new Gauge({
    name: 'amo_accounts_near_expiry',
    help: 'Active accounts in use whose token has a tenth of its life left or less; max over replicas',
    labelNames: ['integration'] as const,
    registers,
    async collect() {
      const { integrations } = await snapshot.get()
      this.reset()
      for (const { integration, nearExpiry } of integrations) {
        this.inc({ integration: labels.of(integration) }, nearExpiry)
      }
    },
  })
  new Gauge({
    name: 'amo_tokens_ending',
    help: 'Accounts whose refresh token or long-lived token expires soon; max over replicas',
    labelNames: ['integration', 'kind'] as const,
    registers,
    collect() {
      this.reset()
      for (const integration of labels.all()) {
        for (const kind of ['oauth', 'long_lived']) this.set({ integration, kind }, 0)
      }
      for (const { integration, kind, accounts } of expiryWatch.counts) {
        this.inc({ integration: labels.of(integration), kind }, accounts)
      }
    },
  })
  new Counter({
    name: 'amo_promises_broken_total',
    help: 'Access tokens that died before their use_until although the grant was alive; must stay 0; max over replicas',
    registers,
    async collect() {
      const { brokenPromises } = await snapshot.get()
      this.reset()
      this.inc(brokenPromises)
    },
  })
}
