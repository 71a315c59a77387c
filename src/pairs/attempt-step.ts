import { type RawBuilder, sql } from 'kysely'

/** What happened to an attempt. */
export type StepKind =
  | 'claimed'
  | 'reclaimed'
  | 'probed'
  | 'sent'
  | 'unresolved'
  | 'committed'
  | 'parked'
  | 'finished'

/**
 * The result of a step `sent`: the first send under this claim, or one after a probe that reported
 * the token alive. `unproved` must never happen.
 */
export type SendProof = 'first' | 'after_probe' | 'unproved'

/**
 * Appends a step to an attempt (sql/004_refresh_attempts.sql), in the statement that writes its row
 * anyway. `result` is an outcome or the code of a failure. `probed` adds the result of the probe
 * that led to it, as a step before: without it, nobody could tell later whether the provider was
 * asked.
 */
export function addStep(
  kind: StepKind,
  owner: string,
  result?: string,
  probed?: string,
): RawBuilder<unknown> {
  const before =
    probed === undefined ? sql`steps` : sql`amo_add_step(steps, 'probed', ${owner}, ${probed})`
  return sql`steps = amo_add_step(${before}, ${kind}, ${owner}, ${result ?? null})`
}

/** The steps of a new attempt. */
export function firstStep(kind: StepKind, owner: string, result?: string): RawBuilder<unknown> {
  return sql`amo_add_step('[]', ${kind}, ${owner}, ${result ?? null})`
}
