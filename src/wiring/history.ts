import { DailyHistoryCheck } from '../history/daily-check.ts'
import { registerHistoryMetrics } from '../monitoring/history-metrics.ts'
import type { Foundation } from './foundation.ts'

/** Makes the daily verification of the history, and its gauges. */
export function wireHistory({ common, config, metrics }: Foundation): DailyHistoryCheck {
  const { database, log } = common
  const check = new DailyHistoryCheck({ database, attemptDays: config.attemptDays, log })
  registerHistoryMetrics(metrics, check)
  return check
}
