import t from 'tap'
import type { FaultSpec } from '../src/sandbox/faults.ts'
import { connectAccount, until } from './support/broker.ts'
import { assertPresentedOnce, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { query } from './support/database.ts'

const DAY_SECONDS = 86_400

interface Case {
  fault: Omit<FaultSpec, 'account'>
  /** `lost`: the response contains no pair, and the token is spent. */
  outcome: 'committed' | 'lost'
  lifetimeSeconds?: number
}

const shape = (name: string): FaultSpec => ({ fault: 'body', shape: name })

/** Malformed responses to a refresh. The provider has spent the token before each of them. */
const CASES: Record<string, Case> = {
  empty: { fault: shape('empty'), outcome: 'lost' },
  'html-page': { fault: shape('html'), outcome: 'lost' },
  'no-refresh-token': { fault: shape('no_refresh_token'), outcome: 'lost' },
  'no-access-token': { fault: shape('no_access_token'), outcome: 'lost' },
  'half-of-the-json': { fault: shape('truncated_json'), outcome: 'lost' },
  'half-and-a-reset': { fault: { fault: 'cut_answer' }, outcome: 'lost' },
  'no-closing-brace': { fault: shape('no_closing_brace'), outcome: 'committed' },
  'five-megabytes': { fault: shape('huge'), outcome: 'committed' },
  'plain-text': { fault: { fault: 'body', content_type: 'text/plain' }, outcome: 'committed' },
  created: { fault: { fault: 'body', status: 201 }, outcome: 'committed' },
  'no-server-time': { fault: shape('no_server_time'), outcome: 'committed' },
  'expires-in-0': { fault: shape('expires_in_zero'), outcome: 'committed' },
  'expires-in-minus-1': { fault: shape('expires_in_negative'), outcome: 'committed' },
  'expires-in-missing': { fault: shape('expires_in_missing'), outcome: 'committed' },
  'expires-in-string': { fault: shape('expires_in_string'), outcome: 'committed' },
  'expires-in-ten-years': {
    fault: { fault: 'body', patch: { expires_in: 10 * 365 * DAY_SECONDS } },
    outcome: 'committed',
  },
  'no-jwt': { fault: shape('access_token_no_jwt'), outcome: 'committed' },
  'no-jwt-no-time': {
    fault: { fault: 'body', patch: { access_token: 'opaque', expires_in: null } },
    outcome: 'committed',
    lifetimeSeconds: 3_600,
  },
}

const accountsOf = (names: string[]) =>
  names.map((subdomain) => ({ platform: 'amocrm' as const, subdomain }))

t.test('malformed responses: no pair is lost, and nothing else counts as a pair', async (t) => {
  const names = Object.keys(CASES)
  const stage = await startBrokerWithSandbox(t, {
    connect: false,
    // So many malformed responses at once open the breaker, which must close again soon.
    env: { SEND_LIMIT_MS: '2000', SETTLE_MS: '100', BREAKER_MS: '100' },
    sandbox: { accounts: accountsOf(names) },
  })
  for (const name of names) await connectAccount(stage.broker, name)
  await addNeighbours(stage.databaseUrl)
  const faults = names.map((account) => ({
    ...(CASES[account]?.fault ?? shape('none')),
    endpoint: 'token' as const,
    times: 1,
    account,
  }))
  stage.sandbox.world.faults.set(faults)
  const before = await query(stage.databaseUrl, 'select max(generation) from amo_tokens')
  await stage.makeDue()
  for (const name of names) {
    const row = async () => {
      const [found] = await query(
        stage.databaseUrl,
        `select status, "lastErrorCode", generation > $2 as "isNew",
           extract(epoch from "expiresAt" - "lastRefreshAt")::float8 as lifetime
         from amo_tokens where domain = $1`,
        [`${name}.amocrm.ru`, before[0]?.max],
      )
      return found ?? {}
    }
    const { outcome, lifetimeSeconds = DAY_SECONDS } = CASES[name] as Case
    if (outcome === 'lost') {
      await until(
        async () => (await row()).status === 'reauth_required',
        40_000,
        () => name,
      )
      t.match(await row(), { lastErrorCode: 'pair_lost', isNew: false }, name)
      continue
    }
    await until(
      async () => (await row()).isNew,
      20_000,
      () => name,
    )
    const { status, lifetime } = await row()
    t.equal(status, 'active', name)
    t.ok(Math.abs(Number(lifetime) - lifetimeSeconds) < 60, `${name} lives for ${lifetime} s`)
  }
  assertPresentedOnce(t, stage)
  t.match(stage.broker.log(), /refresh refused/, 'and the log tells')
})

/**
 * Adds so many accounts that fewer than one percent are lost here. Another test covers the mass
 * guard.
 */
async function addNeighbours(databaseUrl: string): Promise<void> {
  await query(
    databaseUrl,
    `insert into amo_tokens (integration, "accountId", kind, status, "accessToken", generation, "issuedAt", "expiresAt")
     select 'amocrm', n, 'long_lived', 'active', 'sealed', nextval('amo_generation'), now(), now() + interval '1 day'
     from generate_series(1, 1000) n`,
  )
}

t.test('a token with another account’s id: not served, and the pair is not lost', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: { SEND_LIMIT_MS: '500', SETTLE_MS: '100' } })
  const { accountId } = await stage.row()
  stage.sandbox.world.faults.set([{ ...shape('other_account'), endpoint: 'token', times: 1 }])
  await stage.makeDue()
  const accountsHandedOut = new Set<number>()
  await until(async () => {
    const { body } = await stage.broker.get('/tokens/demo')
    const [, claims = ''] = String(body.access_token ?? '').split('.')
    if (claims !== '') accountsHandedOut.add(JSON.parse(atob(claims)).account_id)
    const done = await stage.attempts()
    return done.filter(({ outcome }) => outcome === 'committed').length >= 2
  }, 40_000)
  t.same([...accountsHandedOut], [accountId], 'only its own tokens were handed out')
  t.match(await stage.row(), { status: 'active', lastErrorCode: null, accessDeadAt: null })
  const { body } = await stage.broker.get('/tokens/demo')
  t.equal(stage.sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  assertPresentedOnce(t, stage)
})
