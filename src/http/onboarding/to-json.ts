import type { Static } from 'typebox'
import type { ExchangeSchema, OnboardingSchema } from '../../contract/onboarding.ts'
import type { Exchange } from '../../onboarding/exchanges.ts'
import type { OnboardingRow } from '../../onboarding/list-onboardings.ts'
import { explainOutcome } from './outcome-texts.ts'

/** Renders an onboarding for operators, without code and tokens. */
export function onboardingToJson(row: OnboardingRow): Static<typeof OnboardingSchema> {
  return {
    id: row.id,
    origin: row.origin,
    integration: row.integration,
    host: row.referer,
    link_id: row.linkId,
    outcome: row.outcome,
    ...explanationOf(row.outcome),
    account_id: row.accountId,
    domain: row.domain,
    received_at: row.receivedAt.toISOString(),
    finished_at: row.finishedAt?.toISOString() ?? null,
  }
}

/** Renders an exchange of an API key. */
export function exchangeToJson(exchange: Exchange): Static<typeof ExchangeSchema> {
  return {
    id: exchange.id,
    integration: exchange.integration,
    domain: exchange.domain,
    outcome: exchange.outcome,
    ...explanationOf(exchange.outcome),
    account_id: exchange.accountId,
    created_at: exchange.createdAt.toISOString(),
  }
}

/** Returns problem and remedy of an outcome, unless it is a success or not known yet. */
export function explanationOf(outcome: string | null): { problem?: string; remedy?: string } {
  if (outcome === null || outcome === 'connected') return {}
  const { problem, remedy } = explainOutcome(outcome)
  return { problem, remedy }
}
