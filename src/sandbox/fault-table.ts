import type { Endpoint } from './books.ts'
import type { Call } from './call.ts'
import type { FaultEffect } from './fault-effects.ts'
import * as effects from './fault-effects.ts'
import { oddAnswer } from './fault-shapes.ts'
import type { FaultSpec } from './faults.ts'
import { nginx, notFound, tooManyRequests, unauthorized, wrongClient } from './refusals.ts'

/**
 * The point of a request at which a fault acts. `arrival`: before the checks. `before_spend`: after
 * the checks have passed. `refusal`: when the probe is about to report a dead token. `after_spend`:
 * when the token has been spent. `answer`: when a success is about to be written.
 */
export type FaultPoint = 'arrival' | 'before_spend' | 'refusal' | 'after_spend' | 'answer'

export interface FaultKind {
  point: FaultPoint
  endpoints: readonly Endpoint[]
  /**
   * Acts at account hosts only, because the API host knows the new name (docs/provider.md, part 5).
   */
  accountHostOnly?: true
  does: string
  apply(call: Call, spec: FaultSpec): FaultEffect | Promise<FaultEffect>
}

const ALL = ['token', 'probe', 'api'] as const
const TOKEN = ['token'] as const
const PROBE = ['probe'] as const

export const faultTable = new Map<string, FaultKind>(
  Object.entries<FaultKind>({
    drop_before_spend: {
      point: 'arrival',
      endpoints: ALL,
      does: 'cuts the connection, nothing is spent',
      apply: effects.dropped,
    },
    drop_after_spend: {
      point: 'after_spend',
      endpoints: TOKEN,
      does: 'spends, then cuts the connection',
      apply: effects.dropped,
    },
    cut_answer: {
      point: 'answer',
      endpoints: ALL,
      does: 'writes half of the answer, then cuts the connection',
      apply: effects.cutInHalf,
    },
    process_late: {
      point: 'arrival',
      endpoints: TOKEN,
      does: 'never answers; spends delay_ms after the hang-up, or after the arrival',
      apply: effects.processLate,
    },
    delay_before_spend: {
      point: 'arrival',
      endpoints: ALL,
      does: 'waits delay_ms, then checks, spends and answers, even after a hang-up',
      apply: effects.wait,
    },
    delay_after_spend: {
      point: 'after_spend',
      endpoints: ALL,
      does: 'spends at once, answers after delay_ms',
      apply: effects.wait,
    },
    silent: {
      point: 'arrival',
      endpoints: ALL,
      does: 'never answers, nothing is spent',
      apply: effects.staySilent,
    },
    silent_after_spend: {
      point: 'after_spend',
      endpoints: TOKEN,
      does: 'spends, never answers',
      apply: effects.staySilent,
    },
    bad_gateway_before_spend: {
      point: 'arrival',
      endpoints: ALL,
      does: '502 (or 504 by status) nginx HTML, nothing is spent',
      apply: effects.badGateway,
    },
    bad_gateway_after_spend: {
      point: 'after_spend',
      endpoints: TOKEN,
      does: 'spends, then 502 (or 504) nginx HTML',
      apply: effects.badGateway,
    },
    server_error: {
      point: 'arrival',
      endpoints: ALL,
      does: '500 (or status) problem+json, nothing is spent',
      apply: effects.serverError,
    },
    server_error_after_spend: {
      point: 'after_spend',
      endpoints: TOKEN,
      does: 'spends, then 500 (or status) problem+json',
      apply: effects.serverError,
    },
    forbidden_html: {
      point: 'arrival',
      endpoints: ALL,
      does: '403 nginx HTML',
      apply: () => nginx(403),
    },
    too_many_requests: {
      point: 'arrival',
      endpoints: ALL,
      does: '429 text',
      apply: () => tooManyRequests(),
    },
    renamed_404: {
      point: 'arrival',
      endpoints: ALL,
      accountHostOnly: true,
      does: '404 at the account host, as after a rename',
      apply: () => notFound(),
    },
    renamed_401: {
      point: 'arrival',
      endpoints: ALL,
      accountHostOnly: true,
      does: '401 without a hint at the account host, as after a rename',
      apply: () => unauthorized('renamed'),
    },
    unauthorized_without_hint: {
      point: 'arrival',
      endpoints: TOKEN,
      does: '401 without a hint, at any host',
      apply: () => ({ ...unauthorized('unauthorized'), provesUnspent: false }),
    },
    wrong_secret: {
      point: 'arrival',
      endpoints: TOKEN,
      does: '401 as for a wrong client secret',
      apply: (call) => wrongClient(effects.platformOf(call)),
    },
    revoked: {
      point: 'before_spend',
      endpoints: ALL,
      does: 'reports a good token as revoked',
      apply: effects.revoked,
    },
    refresh_token_expired: {
      point: 'before_spend',
      endpoints: TOKEN,
      does: 'reports a good token as expired',
      apply: effects.expired,
    },
    old_access_token_survives: {
      point: 'before_spend',
      endpoints: TOKEN,
      does: 'the old access token stays valid after this refresh',
      apply: effects.keepOldAccess,
    },
    probe_lies_alive: {
      point: 'refusal',
      endpoints: PROBE,
      does: 'the probe responds 200 to a dead token of a known account',
      apply: effects.lieAlive,
    },
    probe_lies_dead: {
      point: 'before_spend',
      endpoints: PROBE,
      does: 'the probe responds 401 to a live token',
      apply: () => unauthorized('probe_lied_dead'),
    },
    compressed: {
      point: 'answer',
      endpoints: ALL,
      does: 'compresses a success by content_encoding, though nobody asked for it; default gzip',
      apply: effects.compressed,
    },
    body: {
      point: 'answer',
      endpoints: ALL,
      does: 'changes a success by shape, patch, or body with content_type and status',
      apply: oddAnswer,
    },
  }),
)
