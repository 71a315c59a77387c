import { Gauge, type Registry } from '@prometheus-io/client'
import type { DatabaseSnapshot } from './database-snapshot.ts'

/** Ids of encryption keys, as of the last check. */
interface KeysInUse {
  loaded: readonly string[]
  missing: readonly string[]
  /** Keys under which values are sealed. */
  inUseIds: ReadonlySet<string>
}

/** Registers the gauges of the inbox, the audit, events, deliveries and the encryption keys. */
export function registerUpkeepMetrics(
  registry: Registry,
  snapshot: DatabaseSnapshot,
  keys: KeysInUse,
): void {
  const registers = [registry]
  new Gauge({
    name: 'amo_inbox_waiting',
    help: 'Callbacks and hooks that are not finished, up to 10,000; max over replicas',
    registers,
    async collect() {
      this.set((await snapshot.get()).inboxWaiting)
    },
  })
  new Gauge({
    name: 'amo_audit_unsealed',
    help: 'Audit rows that have no place in the chain yet, up to 10,000; max over replicas',
    registers,
    async collect() {
      this.set((await snapshot.get()).auditUnsealed)
    },
  })
  new Gauge({
    name: 'amo_audit_head_age_seconds',
    help: 'How far the head of the audit is behind: age of the oldest row that is not sealed; max over replicas',
    registers,
    async collect() {
      this.set((await snapshot.get()).auditHeadSeconds)
    },
  })
  new Gauge({
    name: 'amo_events_unsequenced_age_seconds',
    help: 'Age of the oldest event that has no position yet, and so was passed to nobody; max over replicas',
    registers,
    async collect() {
      this.set((await snapshot.get()).eventsUnsequencedSeconds)
    },
  })
  new Gauge({
    name: 'amo_delivery_oldest_seconds',
    help: 'Age of the oldest message that an active endpoint has not taken, 0: there is none; max over replicas',
    registers,
    async collect() {
      this.set((await snapshot.get()).oldestDeliverySeconds)
    },
  })
  new Gauge({
    name: 'amo_endpoints_disabled',
    help: 'Endpoints that were disabled because they failed for days or wanted nothing more; max over replicas',
    registers,
    async collect() {
      this.set((await snapshot.get()).endpointsDisabled)
    },
  })
  new Gauge({
    name: 'amo_encryption_key_in_use',
    help: '1 while something is sealed under this key, looked at every ten minutes; max over replicas',
    labelNames: ['key', 'state'] as const,
    registers,
    collect() {
      this.reset()
      for (const key of keys.loaded) {
        this.set({ key, state: 'loaded' }, keys.inUseIds.has(key) ? 1 : 0)
      }
      for (const key of keys.missing) this.set({ key, state: 'missing' }, 1)
    },
  })
}
