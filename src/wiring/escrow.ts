import { Gauge } from '@prometheus-io/client'
import { openPlace } from '../escrow/open-place.ts'
import { EscrowWriter } from '../escrow/writer.ts'
import type { Foundation } from './foundation.ts'

/** Puts the escrow together. @returns null without ESCROW_URL */
export function wireEscrow(foundation: Foundation): EscrowWriter | null {
  const { common, config, keyRing, owner, health, metrics } = foundation
  const { escrowUrl, deploymentId } = config
  if (escrowUrl === null) return null
  const writer = new EscrowWriter({
    database: common.database,
    keyRing,
    deploymentId,
    owner,
    openPlace: () => openPlace(escrowUrl),
    onProblem(problem) {
      health.escrowProblem = problem
    },
    log: common.log,
  })
  new Gauge({
    name: 'amo_escrow_lag_seconds',
    help: 'Age of the oldest change that the escrow lacks; max over replicas',
    registers: [metrics],
    collect() {
      this.set(writer.lagSeconds)
    },
  })
  return writer
}
