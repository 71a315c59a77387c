import { Gauge, type Registry } from '@prometheus-io/client'
import type { Integrations } from '../integrations/directory.ts'
import type { Integration } from '../integrations/integration.ts'
import { labelOf } from '../integrations/integration-labels.ts'

const STATES = ['running', 'paused', 'halted'] as const
/** The key of a breaker of one integration (sql/005_breakers.sql). Others are of a platform. */
const INTEGRATION_KEY = /^integration /

/** Returns why nothing is sent at all; null: the broker sends. */
export type SendingPause = () => 'hold' | 'deployment' | null

/** Registers the gauges of integrations. */
export function registerIntegrationMetrics(
  registry: Registry,
  integrations: Pick<Integrations, 'all'>,
  pause: SendingPause,
): void {
  const registers = [registry]
  new Gauge({
    name: 'amo_integration_state',
    help: 'Integrations in each state: running, paused, halted; max over replicas',
    labelNames: ['integration', 'state'] as const,
    registers,
    collect() {
      this.reset()
      for (const each of integrations.all()) {
        const integration = labelOf(each)
        for (const state of STATES) {
          this.inc({ integration, state }, each.state === state ? 1 : 0)
        }
      }
    },
  })
  new Gauge({
    name: 'amo_breaker_open',
    help: 'Open breakers, by scope: platform, integration; max over replicas',
    labelNames: ['integration', 'scope'] as const,
    registers,
    collect() {
      this.reset()
      for (const each of integrations.all()) {
        const integration = labelOf(each)
        for (const scope of ['platform', 'integration'] as const) {
          this.inc({ integration, scope }, countOpen(each, scope))
        }
      }
    },
  })
  new Gauge({
    name: 'amo_integration_refused',
    help: 'Integrations that the provider refuses as a whole, or that were altered in the database; max over replicas',
    labelNames: ['integration'] as const,
    registers,
    collect() {
      this.reset()
      for (const each of integrations.all()) {
        const isRefused = each.isAltered || each.lastErrorCode !== null
        this.inc({ integration: labelOf(each) }, isRefused ? 1 : 0)
      }
    },
  })
  new Gauge({
    name: 'amo_sending_paused',
    help: '1 while this process sends nothing: started with --hold, or the database belongs to another deployment; max over replicas',
    labelNames: ['reason'] as const,
    registers,
    collect() {
      const present = pause()
      for (const reason of ['hold', 'deployment'] as const) {
        this.set({ reason }, reason === present ? 1 : 0)
      }
    },
  })
}

function countOpen({ breakers }: Integration, scope: 'platform' | 'integration'): number {
  const isWanted = (key: string) => INTEGRATION_KEY.test(key) === (scope === 'integration')
  return breakers.filter(({ key }) => isWanted(key)).length
}
