import type { Static } from 'typebox'
import type { LinkProgress } from '../../connect-links/link-progress.ts'
import type { LinkProgressSchema } from '../../contract/connect-links.ts'
import { explanationOf } from '../onboarding/to-json.ts'
import { failureOf, stateOf } from './link-state.ts'

/** Renders a link for operators, without the secret in its URL. */
export function linkToJson(link: LinkProgress): Static<typeof LinkProgressSchema> {
  const time = (at: Date | null) => at?.toISOString() ?? null
  const failure = link.usedAt === null ? failureOf(link) : null
  return {
    id: link.id,
    integration: link.integration,
    account: link.expectedAccount,
    mode: link.mode,
    created_by: link.createdBy,
    created_at: link.createdAt.toISOString(),
    expires_at: link.expiresAt.toISOString(),
    state: stateOf(link),
    failure,
    ...explanationOf(failure),
    opened_at: time(link.openedAt),
    used_at: time(link.usedAt),
    account_id: link.usedByAccountId,
    onboarding_id: link.onboardingId,
  }
}
