import type { Call } from './call.ts'
import type { FaultSpec } from './faults.ts'
import { accessClaims } from './grants.ts'
import type { Answer } from './refusals.ts'
import { json } from './refusals.ts'
import { makeAccessToken } from './tokens.ts'

type Shape = (answer: Answer, call: Call, spec: FaultSpec) => Answer

// More than the limit of any client that limits its reads.
const HUGE_BYTES = 5 * 1024 * 1024
const HTML = '<!doctype html><html><body><h1>We are under maintenance</h1></body></html>'

/** Malformed responses that a client must survive. */
export const faultShapes = new Map<string, Shape>(
  Object.entries<Shape>({
    empty: (answer) => ({ ...answer, body: '' }),
    huge: (answer, _call, spec) => ({
      ...answer,
      body: answer.body.padEnd(spec.bytes ?? HUGE_BYTES),
    }),
    html: (answer) => ({ ...answer, contentType: 'text/html', body: HTML }),
    truncated_json: (answer) => ({
      ...answer,
      body: answer.body.slice(0, Math.floor(answer.body.length / 2)),
    }),
    no_closing_brace: (answer) => ({ ...answer, body: answer.body.slice(0, -1) }),
    expires_in_zero: (answer) => patched(answer, { expires_in: 0 }),
    expires_in_negative: (answer) => patched(answer, { expires_in: -1 }),
    expires_in_missing: (answer) => patched(answer, { expires_in: null }),
    expires_in_string: (answer) => patched(answer, { expires_in: '86400' }),
    no_refresh_token: (answer) => patched(answer, { refresh_token: null }),
    no_access_token: (answer) => patched(answer, { access_token: null }),
    no_server_time: (answer) => patched(answer, { server_time: null }),
    access_token_no_jwt: (answer) => patched(answer, { access_token: 'no-jwt-at-all' }),
    other_account: withOtherAccount,
  }),
)

/**
 * Builds the response of the fault `body`: applies `shape` first, then `patch`, then `body`,
 * `content_type` and `status`.
 */
export function oddAnswer(call: Call, spec: FaultSpec): Answer | undefined {
  if (call.answer === undefined) return undefined
  const shape = faultShapes.get(spec.shape ?? '')
  const shaped = shape === undefined ? call.answer : shape(call.answer, call, spec)
  const changed = spec.patch === undefined ? shaped : patched(shaped, spec.patch)
  return {
    status: spec.status ?? changed.status,
    contentType: spec.content_type ?? changed.contentType,
    body: spec.body ?? changed.body,
  }
}

/** Sets fields of a JSON body. Null removes a field. */
function patched(answer: Answer, patch: Record<string, unknown>): Answer {
  const fields = Object.entries({ ...JSON.parse(answer.body), ...patch })
  const kept = fields.filter(([, value]) => value !== null)
  return json(answer.status, Object.fromEntries(kept), answer.contentType)
}

function withOtherAccount(answer: Answer, call: Call, spec: FaultSpec): Answer {
  const { account, world } = call
  const integration = world.directory.integrations.get(call.clientId ?? '')
  if (account === undefined || integration === undefined) return answer
  const now = world.settings.clock()
  const claims = accessClaims(account, integration, now, now + 86_400_000)
  const accountId = spec.account_id ?? account.accountId + 1
  return patched(answer, { access_token: makeAccessToken({ ...claims, accountId }) })
}
