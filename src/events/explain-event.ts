import { ENDINGS } from '../accounts/expiry-watch.ts'
import type { EventType } from '../contract/events.ts'
import { explainFailure } from '../provider/failures.ts'

interface Explanation {
  problem: string
  remedy: string
}

const NOTHING = 'Nothing to do.'

/** Types whose reason does not change what to do. */
const EXPLANATIONS: Partial<Record<EventType, Explanation>> = {
  'account.connected': {
    problem: 'The account is connected, and its tokens are served.',
    remedy: NOTHING,
  },
  'account.pending': {
    problem: 'An account that nobody expected was connected. Its tokens are not served yet.',
    remedy: 'Approve the account if you know it, or remove it.',
  },
  'account.recovered': {
    problem: 'The account works again.',
    remedy: NOTHING,
  },
  'account.disconnected': {
    problem: 'The integration was removed from the account.',
    remedy: 'Nothing to do, unless it was a mistake: then let an administrator connect it again.',
  },
  'account.removed': { problem: 'The account was removed from the broker.', remedy: NOTHING },
  'integration.resumed': { problem: 'The integration sends again.', remedy: NOTHING },
  'breaker.closed': {
    problem: 'The provider works again, and refreshes go on.',
    remedy: NOTHING,
  },
  'broker.recovered': { problem: 'That part of the broker works again.', remedy: NOTHING },
  'onboarding.failed': {
    problem: 'Somebody tried to connect an account, and it failed.',
    remedy: 'Look at the onboarding for the reason and what to do.',
  },
  'client_key.ending_soon': {
    problem: 'The key of a client ends soon. Afterwards its calls are refused.',
    remedy: 'Give the client a second key, then remove the old one.',
  },
  'endpoint.disabled': {
    problem: 'An endpoint was disabled and gets no more events.',
    remedy: 'Repair the receiver, then enable the endpoint again.',
  },
  'endpoint.test': { problem: 'This is a test. Nothing has happened.', remedy: NOTHING },
}

const HALTED: Record<string, Explanation> = {
  mass_guard: {
    problem:
      'More accounts than usual would have to be authorized again, so nothing is sent for the integration.',
    remedy: 'Find out why before you resume it: compare the last errors of its accounts.',
  },
  operator: {
    problem: 'An operator paused the integration, so nothing is sent for it.',
    remedy: 'Resume it when the reason is gone.',
  },
}

/** What does not work, by the part of the broker (src/monitoring/health.ts). */
const PARTS: Record<string, string> = {
  postgres:
    'PostgreSQL cannot be written to. Nothing is refreshed, and known tokens are served until they expire.',
  listen: 'Notifications of PostgreSQL are late, so every read asks PostgreSQL.',
  redis: 'Redis does not answer, so replicas coordinate through PostgreSQL only.',
  callbacks: 'Callbacks found no place on disk and were lost.',
  deployment: 'The database belongs to another deployment, so nothing is refreshed.',
  audit: 'The audit was tampered with, or lacks rows since a failover.',
  journal: 'Responses of the provider cannot be written to DATA_DIR.',
  key: 'An encryption key is not loaded, so values that were sealed with it cannot be opened.',
}

/** Returns what happened and what to do, in English. `reason` is the code of the event. */
export function explainEvent(type: EventType, reason: string | null): Explanation {
  const known = EXPLANATIONS[type]
  if (known !== undefined) return known
  if (type === 'integration.halted') return HALTED[reason ?? ''] ?? HALTED.operator ?? plain(reason)
  if (type === 'account.ending_soon') {
    const ending = Object.entries(ENDINGS).find(([code]) => code === reason)
    return ending?.[1] ?? plain(reason)
  }
  if (type === 'broker.degraded') {
    return {
      problem: PARTS[reason ?? ''] ?? `A part of the broker does not work: ${reason}.`,
      remedy: 'Look at GET /health/ready or run amo-broker doctor.',
    }
  }
  if (type === 'breaker.opened') {
    const { problem } = explainFailure(reason ?? 'unknown_refusal')
    return {
      problem: `Several requests failed, so nothing is sent for now. The last one: ${problem}`,
      remedy: 'Nothing to do: the broker tries again by itself. Valid tokens are still served.',
    }
  }
  return reason === null ? plain(reason) : explainFailure(reason)
}

function plain(reason: string | null): Explanation {
  return {
    problem: reason ?? 'The reason was not recorded.',
    remedy: 'Look at the broker’s log.',
  }
}
