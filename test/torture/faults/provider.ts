import type { FaultSpec } from '../../../src/sandbox/faults.ts'
import { type Harness, inBackground } from '../harness.ts'
import { between, type Fault, followUp, pick, type Random, takeSubject } from './fault.ts'

/** Within the life of a token, plus the delay by other faults, the account is refreshed. */
const FIRE_LIMIT_MS = 120_000
/** Longer than the connect limit and the send limit of the run. */
const LATE_MS = 7_000
/**
 * Longer than the settle time after that, so that a probe reports it alive before the token is
 * spent.
 */
const AFTER_PROBE_MS = 9_000

type Specs = Record<string, (random: Random) => Omit<FaultSpec, 'account'>[]>

const token = (fault: string, more: Partial<FaultSpec> = {}): Omit<FaultSpec, 'account'> => ({
  fault,
  endpoint: 'token',
  times: 1,
  ...more,
})
const probe = (fault: string, times = 1): Omit<FaultSpec, 'account'> => ({
  fault,
  endpoint: 'probe',
  times,
})

const CODINGS = ['gzip', 'deflate', 'br', 'zstd'] as const

/** Faults of the provider that hit one account, once. */
const ONE_ACCOUNT: Specs = {
  'provider: slow': (random) => [
    token('delay_before_spend', { delay_ms: Math.round(between(200, 900, random)) }),
  ],
  'provider: responds after our limit': () => [token('delay_after_spend', { delay_ms: LATE_MS })],
  'provider: spends and responds after our limit': () => [
    token('delay_before_spend', { delay_ms: LATE_MS }),
  ],
  'provider: silent': () => [token('silent')],
  'provider: silent after spending': () => [token('silent_after_spend')],
  'provider: 429': () => [token('too_many_requests')],
  'provider: 403 HTML': () => [token('forbidden_html')],
  'provider: 502, unspent': () => [token('bad_gateway_before_spend')],
  'provider: 502 after spending': () => [token('bad_gateway_after_spend')],
  'provider: 504 after spending': () => [token('bad_gateway_after_spend', { status: 504 })],
  'provider: 500 after spending': () => [token('server_error_after_spend')],
  'provider: response cut in half': () => [token('cut_answer')],
  'provider: reset before spending': () => [token('drop_before_spend')],
  'provider: closed before spending': () => [token('drop_before_spend', { how: 'close' })],
  'provider: reset after spending': () => [token('drop_after_spend')],
  'provider: processes late, after our limit': () => [
    token('process_late', { after: 'arrival', delay_ms: LATE_MS - 500 }),
  ],
  'provider: processes late, after a probe': () => [
    token('process_late', { after: 'arrival', delay_ms: AFTER_PROBE_MS }),
  ],
  'probe: reports a spent token alive': () => [
    token('bad_gateway_after_spend'),
    probe('probe_lies_alive'),
  ],
  'probe: reports a live token dead': () => [token('drop_before_spend'), probe('probe_lies_dead')],
  'probe: 502': () => [token('drop_before_spend'), probe('bad_gateway_before_spend', 2)],
  'provider: 401 revoked, though alive': () => [token('revoked')],
  'provider: 401 expired, though alive': () => [token('refresh_token_expired')],
  'provider: 401 without a hint': () => [token('unauthorized_without_hint')],
  'provider: 401 wrong client': () => [token('wrong_secret')],
  'provider: 401 revoked and a dead probe, though alive': () => [
    token('revoked'),
    probe('probe_lies_dead', 3),
  ],
  'provider: old access token survives': () => [token('old_access_token_survives')],
  'body: expires_in of 0': () => [token('body', { shape: 'expires_in_zero' })],
  'body: no expires_in': () => [token('body', { shape: 'expires_in_missing' })],
  'body: truncated': () => [token('body', { shape: 'truncated_json' })],
  'body: no refresh token': () => [token('body', { shape: 'no_refresh_token' })],
  'body: 5 MB': () => [token('body', { shape: 'huge' })],
  compressed_response: (random) => [
    token('compressed', { content_encoding: pick(CODINGS, random) }),
  ],
  'body: as text/html': () => [token('body', { content_type: 'text/html' })],
}

/** Any client takes these accounts for dead, until a later probe. */
const WRONGLY_REQUIRES_REAUTH: ReadonlySet<string> = new Set([
  'probe: reports a live token dead',
  'provider: 401 revoked and a dead probe, though alive',
])

/** Faults of the provider that hit all accounts of an integration for some seconds. */
const ONE_INTEGRATION: Specs = {
  'platform: slow for seconds': () => [
    { fault: 'delay_before_spend', endpoint: 'token', delay_ms: 700 },
  ],
  'platform: 429 for seconds': () => [{ fault: 'too_many_requests' }],
  'platform: 403 HTML for seconds': () => [{ fault: 'forbidden_html' }],
  'platform: a third of the connections reset': (random) => [
    { fault: 'drop_before_spend', probability: 0.3, seed: Math.floor(random() * 1e9) },
  ],
  'platform: every response late': () => [
    { fault: 'delay_after_spend', endpoint: 'token', delay_ms: 1_500 },
  ],
}

export const providerFaults: Fault[] = [
  ...Object.entries(ONE_ACCOUNT).map(([name, specs]) => ({
    name,
    weight: name === 'compressed_response' ? 5 : 3,
    isSlow: WRONGLY_REQUIRES_REAUTH.has(name),
    inject: (harness: Harness, random: Random) =>
      strikeAccount(harness, random, name, specs(random)),
  })),
  ...Object.entries(ONE_INTEGRATION).map(([name, specs]) => ({
    name,
    inject: (harness: Harness, random: Random) =>
      strikeIntegration(harness, random, name, specs(random)),
  })),
]

/** Does not wait: the account meets the fault at its next refresh. */
async function strikeAccount(
  harness: Harness,
  random: Random,
  name: string,
  specs: Omit<FaultSpec, 'account'>[],
): Promise<void> {
  const { accountId, vitals } = takeSubject(harness, random)
  const incident = harness.incidents.begin(name)
  const active = switchOn(
    harness,
    specs.map((spec) => ({ ...spec, account: accountId })),
  )
  const meet = async () => {
    const fired = await harness.pulse.until(
      accountId,
      () => (active[0]?.fired ?? 0) > 0,
      FIRE_LIMIT_MS,
    )
    if (fired === undefined) {
      harness.busy.delete(accountId)
      harness.incidents.drop(incident)
    } else {
      incident.atMs = Date.now()
      await followUp(harness, incident, accountId, vitals.generation)
    }
    for (const each of active) each.remaining = 0
  }
  inBackground(harness, meet())
}

async function strikeIntegration(
  harness: Harness,
  random: Random,
  name: string,
  specs: Omit<FaultSpec, 'account'>[],
): Promise<void> {
  const { client } = pick(harness.subjects, random)
  const durationMs = between(3_000, 8_000, random)
  const incident = harness.incidents.begin(name)
  const active = switchOn(
    harness,
    specs.map((spec) => ({ ...spec, client_id: client.clientId })),
  )
  const end = async () => {
    await harness.sandbox.world.sleep(durationMs)
    for (const each of active) each.remaining = 0
    const account = harness.subjects.find((each) => each.client === client)?.accountId ?? 0
    const tookMs = await harness.pulse.until(
      account,
      () => isCaughtUp(harness, client.clientId),
      FIRE_LIMIT_MS,
    )
    harness.incidents.end(incident, tookMs === undefined ? 'NOT RECOVERED' : 'caught up', tookMs)
  }
  inBackground(harness, end())
}

/** Waits until no account of the integration is overdue, apart from those that other faults use. */
function isCaughtUp(harness: Harness, clientId: string): boolean {
  const graceMs = 3_000
  return harness.subjects
    .filter(({ client, accountId }) => client.clientId === clientId && !harness.busy.has(accountId))
    .every(({ accountId }) => {
      const vitals = harness.pulse.now.get(accountId)
      return vitals?.status !== 'active' || vitals.refreshAtMs > Date.now() - graceMs
    })
}

function switchOn({ sandbox }: Harness, specs: FaultSpec[]) {
  const { faults } = sandbox.world
  faults.add(specs)
  return faults.list().slice(-specs.length)
}
