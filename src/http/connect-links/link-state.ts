import type { LinkProgress } from '../../connect-links/link-progress.ts'
import { isFailure } from '../onboarding/outcome-texts.ts'

export type LinkState = 'not_opened' | 'opened' | 'in_progress' | 'failed' | 'connected' | 'expired'

/** Returns what became of a link. One that failed still works until it expires. */
export function stateOf(link: LinkProgress): LinkState {
  if (link.usedAt !== null) return 'connected'
  if (link.expiresAt.getTime() <= Date.now()) return 'expired'
  if (link.onboardingId !== null && link.outcome === null) return 'in_progress'
  if (failureOf(link) !== null) return 'failed'
  return link.openedAt === null ? 'not_opened' : 'opened'
}

/** Returns why the last attempt with a link failed. Null: it has not failed. */
export function failureOf({ outcome, problem }: LinkProgress): string | null {
  return isFailure(outcome) ? outcome : problem
}
