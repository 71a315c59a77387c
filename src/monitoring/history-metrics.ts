import { Gauge, type Registry } from '@prometheus-io/client'
import type { DailyHistoryCheck } from '../history/daily-check.ts'

/** Registers the gauges of the daily verification of the history. All replicas show the same. */
export function registerHistoryMetrics(registry: Registry, check: DailyHistoryCheck): void {
  const registers = [registry]
  new Gauge({
    name: 'amo_history_violations',
    help: 'Rules of the refresh that the recorded history breaks, by the last daily check. Must stay 0; max over replicas',
    registers,
    collect() {
      this.set(check.result?.violations ?? 0)
    },
  })
  new Gauge({
    name: 'amo_history_check_timestamp_seconds',
    help: 'When the last daily check of the history ended; max over replicas',
    registers,
    collect() {
      this.set((check.result?.checkedAt.getTime() ?? Number.NaN) / 1000)
    },
  })
}
