import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { Claim } from '../src/claims/claim.ts'
import { claimAccount } from '../src/claims/claim-account.ts'
import { claimCanaries } from '../src/claims/claim-canaries.ts'
import type { ClaimContext } from '../src/claims/claim-context.ts'
import { claimDueAccounts } from '../src/claims/claim-due-accounts.ts'
import { claimForProbe } from '../src/claims/claim-for-probe.ts'
import { findClaimRejection } from '../src/claims/claim-rejection.ts'
import { leaveUnresolved } from '../src/claims/leave-unresolved.ts'
import { recordSend } from '../src/claims/record-send.ts'
import { releaseWithBackoff } from '../src/claims/release-with-backoff.ts'
import type { BreakerFailure } from '../src/db/tables/breakers.ts'
import type { RefusalCode } from '../src/provider/refusals.ts'
import { countRefusal, countSuccess, keepOpen } from '../src/refresh/breaker.ts'
import {
  afterFailedCanary,
  afterFailure,
  afterSuccess,
  type Breaker,
} from '../src/refresh/breaker-rules.ts'
import { CLIENT_ID, OPERATOR_KEY, until } from './support/broker.ts'
import { ask } from './support/clients.ts'
import { query } from './support/database.ts'
import { createDatabaseWithAccounts, makeAllDue } from './support/database-with-accounts.ts'
import { createLedger, type Ledger } from './support/engine.ts'

const operator = { authorization: `Bearer ${OPERATOR_KEY}` }
const CLOSED: Breaker = {
  failures: [],
  openUntil: null,
  openedAt: null,
  reason: null,
  openings: 0,
  closedAt: null,
}
const at = (nowMs: number) => ({ nowMs, breakerMs: 30_000, random: Math.random() })
const failure = (account: string, atMs: number, isAmbiguous = false): BreakerFailure => ({
  account,
  code: isAmbiguous ? 'gateway_error' : 'blocked',
  isAmbiguous,
  atMs,
})

/** Returns the state after these failures, each at its time. */
const after = (...failures: BreakerFailure[]) =>
  failures.reduce((breaker, each) => afterFailure(breaker, each, at(each.atMs)), CLOSED)

t.test(
  'breaker: two unclear responses for different accounts within a minute open it',
  async (t) => {
    t.equal(after(failure('a', 0, true)).openUntil, null)
    t.equal(after(failure('a', 0, true), failure('a', 1, true)).openUntil, null, 'one account')
    t.equal(
      after(failure('a', 0, true), failure('b', 60_001, true)).openUntil,
      null,
      'too far apart',
    )
    const open = after(failure('a', 0, true), failure('b', 59_999, true))
    t.match(open, { reason: 'gateway_error', openings: 1, openedAt: new Date(59_999) })
    const openMs = (open.openUntil?.getTime() ?? 0) - 59_999
    t.ok(openMs >= 27_000 && openMs <= 33_000, `${openMs} ms`)
  },
)

t.test('breaker: failures of any kind for three accounts open it', async (t) => {
  const two = [failure('a', 0), failure('b', 1)]
  t.equal(after(...two, failure('a', 2)).openUntil, null, 'of two it stays closed')
  t.ok(after(...two, failure('c', 2)).openUntil)
  t.ok(after(failure('a', 0, true), failure('b', 1), failure('c', 2)).openUntil)
  const again = after(failure('a', 0, true), failure('a', 1), failure('b', 2, true))
  t.ok(again.openUntil, 'an unclear answer is not forgotten for a clear one that follows')
})

t.test('breaker: a success clears failures that spent nothing, and no others', async (t) => {
  const unspent = afterSuccess(after(failure('a', 0), failure('b', 1)), false, at(2))
  t.same(unspent.failures, [])
  const unclear = afterSuccess(after(failure('a', 0, true)), false, at(2))
  t.ok(afterFailure(unclear, failure('b', 3, true), at(3)).openUntil)
})

t.test(
  'breaker: only the canary closes it; a failed canary doubles the open time, up to a limit',
  async (t) => {
    const open = after(failure('a', 0, true), failure('b', 0, true))
    t.equal(afterSuccess(open, false, at(1)), open, 'an answer that was on its way closes nothing')
    t.equal(afterFailure(open, failure('c', 1, true), at(1)), open, 'and lengthens nothing')
    t.match(afterSuccess(open, true, at(1)), { openUntil: null, openedAt: null, reason: null })
    let breaker = open
    const times = []
    for (let round = 0; round < 7; round += 1) {
      breaker = afterFailedCanary(breaker, 'no_answer', at(0))
      times.push(Math.round((breaker.openUntil?.getTime() ?? 0) / 30_000))
    }
    for (const [index, expected] of [2, 4, 8, 16, 20, 20, 20].entries()) {
      t.ok(Math.abs((times[index] ?? 0) - expected) <= 0.1 * expected + 0.5, `${times}`)
    }
    t.equal(afterFailedCanary(CLOSED, 'no_answer', at(0)), CLOSED)
  },
)

t.test('breaker: reopened soon, it continues with the last open time', async (t) => {
  const open = after(failure('a', 0, true), failure('b', 0, true))
  const closed = afterSuccess(open, true, at(1_000))
  const reopen = (atMs: number) =>
    afterFailure(
      afterFailure(closed, failure('c', atMs, true), at(atMs)),
      failure('d', atMs, true),
      at(atMs),
    )
  t.equal(reopen(500_000).openings, 2)
  t.equal(reopen(700_000).openings, 1)
})

/** Creates due accounts 1 … size, and a function that claims one of them. */
async function due(t: Test, size: number): Promise<Ledger & { claim(id: number): Promise<Claim> }> {
  const ledger = await createLedger(t)
  const generations = new Map<number, number>()
  for (let id = 1; id <= size; id += 1) {
    generations.set(id, await ledger.addAccount({ integration: 'amocrm', accountId: id }, -1))
  }
  await query(
    ledger.databaseUrl,
    `update amo_integrations set "pacePerSecond" = 20, "paceTokens" = 40`,
  )
  return {
    ...ledger,
    async claim(id) {
      const key = { integration: 'amocrm', accountId: id }
      const claim = await claimAccount(
        ledger.claimContext,
        key,
        generations.get(id) ?? 0,
        'waiting',
      )
      if (claim === undefined) return t.bailout(`account ${id} could not be claimed`) as never
      return claim
    },
  }
}

/** A notification tells a broker that there are failures to clear. Here there always are. */
const breaking = (claimContext: ClaimContext) => ({
  claimContext,
  provider: { integrations: { find: () => ({ hasFailures: true }) } },
})

const breakersOf = ({ databaseUrl }: Ledger) =>
  query(
    databaseUrl,
    `select key, "openUntil" is not null as open, reason from amo_breakers order by key`,
  )

async function fail({ claimContext }: Ledger, claim: Claim, code: RefusalCode): Promise<void> {
  await countRefusal(breaking(claimContext), claim, code)
  await leaveUnresolved(claimContext, claim, code)
}

t.test('an open breaker: no claim, and no send of an earlier claim', async (t) => {
  const ledger = await due(t, 4)
  const claims = [await ledger.claim(1), await ledger.claim(2), await ledger.claim(3)]
  const [first, second, third] = claims as [Claim, Claim, Claim]
  await fail(ledger, first, 'gateway_error')
  t.equal(await recordSend(ledger.claimContext, third), true, 'one is no brown-out')
  await fail(ledger, second, 'no_answer')
  t.same(await breakersOf(ledger), [{ key: 'amocrm', open: true, reason: 'no_answer' }])
  t.equal(await recordSend(ledger.claimContext, third), false)
  t.same(await claimDueAccounts(ledger.claimContext, 'amocrm', 10), [])
  const key = { integration: 'amocrm', accountId: 4 }
  const [row] = await query(
    ledger.databaseUrl,
    `select generation::float8 from amo_tokens where "accountId" = 4`,
  )
  t.equal(await claimAccount(ledger.other, key, row?.generation, 'waiting'), undefined)
  t.match(await findClaimRejection(ledger.other, key, row?.generation), { reason: 'breaker_open' })
  t.same(await claimCanaries(ledger.claimContext), [], 'no canary before its time')
  const [pace] = await query(ledger.databaseUrl, `select "paceTokens" from amo_integrations`)
  t.ok(pace?.paceTokens > 30, 'and no token of the pace was taken for nothing')
})

const OTHERS = [
  `insert into amo_integrations (name, provider, "clientId", "clientSecret", "redirectUri", "pacePerSecond")
   values ('second', 'amocrm', 'id', 'sealed', 'https://broker.example/second', 20)`,
  `insert into amo_integrations (name, provider, "clientId", "clientSecret", "redirectUri", "sandboxOrigin")
   values ('sandboxed', 'amocrm', 'id', 'sealed', 'https://broker.example/third', 'http://127.0.0.1:1')`,
]

async function withOthers(t: Test): Promise<Awaited<ReturnType<typeof due>>> {
  const ledger = await due(t, 5)
  for (const statement of OTHERS) await query(ledger.databaseUrl, statement)
  await ledger.addAccount({ integration: 'second', accountId: 91 }, -1)
  await ledger.addAccount({ integration: 'sandboxed', accountId: 92 }, -1)
  return ledger
}

t.test('a failing platform stops all its integrations, and none of the sandbox', async (t) => {
  const ledger = await withOthers(t)
  await fail(ledger, await ledger.claim(1), 'gateway_error')
  await fail(ledger, await ledger.claim(2), 'gateway_error')
  t.same(await claimDueAccounts(ledger.claimContext, 'second', 10), [])
  t.equal((await claimDueAccounts(ledger.claimContext, 'sandboxed', 10)).length, 1)
})

t.test('a refused configuration stops its own integration only', async (t) => {
  const ledger = await withOthers(t)
  for (const id of [1, 2, 3]) {
    const claim = await ledger.claim(id)
    await countRefusal(breaking(ledger.claimContext), claim, 'client_rejected')
    await releaseWithBackoff(ledger.claimContext, claim, {
      code: 'client_rejected',
      outcome: 'refused',
    })
  }
  t.same(await breakersOf(ledger), [
    { key: 'integration amocrm', open: true, reason: 'client_rejected' },
  ])
  t.same(await claimDueAccounts(ledger.claimContext, 'amocrm', 10), [])
  t.equal((await claimDueAccounts(ledger.claimContext, 'second', 10)).length, 1)
})

t.test('refusals of a token or an account open no breaker', async (t) => {
  const ledger = await due(t, 8)
  for (const [index, code] of (
    ['token_revoked', 'token_expired', 'account_not_found', 'invalid_account'] as const
  ).entries()) {
    await countRefusal(breaking(ledger.claimContext), await ledger.claim(2 * index + 1), code)
    await countRefusal(breaking(ledger.claimContext), await ledger.claim(2 * index + 2), code)
  }
  t.notOk((await breakersOf(ledger)).some(({ open }) => open))
})

t.test('failures counted by several replicas at once are all counted', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const ledger = await due(t, 3)
    const claims = [await ledger.claim(1), await ledger.claim(2), await ledger.claim(3)]
    await Promise.all(
      claims.map((claim, index) =>
        countRefusal(
          breaking(index % 2 ? ledger.claimContext : ledger.other),
          claim,
          'rate_limited',
        ),
      ),
    )
    t.match(await breakersOf(ledger), [{ open: true }])
  }
})

/** Ends the open time of the breaker. */
const ripen = ({ databaseUrl }: Ledger) =>
  query(databaseUrl, `update amo_breakers set "openUntil" = now()`)

t.test('a success clears failures; without failures it runs no query', async (t) => {
  const ledger = await due(t, 4)
  const success = await ledger.claim(3)
  const failures = async () =>
    (
      await query(
        ledger.databaseUrl,
        `select jsonb_array_length(failures) as n from amo_breakers where key = 'amocrm'`,
      )
    )[0]?.n
  await countRefusal(breaking(ledger.claimContext), await ledger.claim(1), 'blocked')
  await countRefusal(breaking(ledger.claimContext), await ledger.claim(2), 'blocked')
  const quiet = {
    claimContext: ledger.claimContext,
    provider: { integrations: { find: () => ({ hasFailures: false }) } },
  }
  await countSuccess(quiet, success)
  t.equal(await failures(), 2)
  await countSuccess(breaking(ledger.claimContext), success)
  t.equal(await failures(), 0)
})

t.test('the canary: one for all replicas and integrations, and the only send', async (t) => {
  const ledger = await withOthers(t)
  const before = await ledger.claim(3)
  await fail(ledger, await ledger.claim(1), 'gateway_error')
  await fail(ledger, await ledger.claim(2), 'gateway_error')
  await ripen(ledger)
  const claimants: ClaimContext[] = [
    ledger.claimContext,
    ledger.other,
    ledger.claimContext,
    ledger.other,
  ]
  // All find its open time over and wait for each other. The later ones see the state that the
  // first one has left.
  const holder = new pg.Client({ connectionString: ledger.databaseUrl })
  await holder.connect()
  await holder.query('begin')
  await holder.query('select from amo_breakers for update')
  const racing = claimants.map(claimCanaries)
  await until(async () => (await waiting(ledger)) === claimants.length)
  await holder.query('commit')
  await holder.end()
  const canaries = (await Promise.all(racing)).flat()
  t.match(canaries, [{ isCanary: true }])
  const [canary] = canaries as [Claim]
  t.same(await claimCanaries(ledger.other), [], 'no second one while it is out')
  t.same(await claimDueAccounts(ledger.claimContext, 'amocrm', 10), [])
  t.equal(await recordSend(ledger.claimContext, before), false, 'a claim from before is no canary')
  const sender = await ownerOf(ledger, canary)
  t.equal(await recordSend(sender, canary), true)

  await keepOpen(sender, canary, 'no_answer')
  t.same(await claimCanaries(ledger.other), [], 'open for longer')
  await countSuccess(breaking(ledger.claimContext), before)
  t.match(await breakersOf(ledger), [{ open: true }], 'not closed by what was on its way')
  await countSuccess(breaking(sender), canary)
  t.match(await breakersOf(ledger), [{ open: false }])
  t.ok((await claimDueAccounts(ledger.claimContext, 'amocrm', 10)).length > 0)
})

const waiting = async ({ databaseUrl }: Ledger) =>
  (
    await query(
      databaseUrl,
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
  ).length

async function ownerOf(ledger: Ledger, claim: Claim): Promise<ClaimContext> {
  const [row] = await query(
    ledger.databaseUrl,
    'select owner from amo_refresh_attempts where id = $1',
    [claim.attemptId],
  )
  return row?.owner === ledger.other.owner ? ledger.other : ledger.claimContext
}

t.test(
  'the canary: a refusal of its token closes the breaker, other refusals do not',
  async (t) => {
    for (const [code, isOpen] of [
      ['token_revoked', false],
      ['rate_limited', true],
      ['client_rejected', true],
    ] as const) {
      const ledger = await due(t, 4)
      await fail(ledger, await ledger.claim(1), 'gateway_error')
      await fail(ledger, await ledger.claim(2), 'gateway_error')
      await ripen(ledger)
      const [canary] = await claimCanaries(ledger.claimContext)
      if (canary !== undefined) await countRefusal(breaking(ledger.claimContext), canary, code)
      const [row] = await query(
        ledger.databaseUrl,
        `select openings, "openUntil" > now() as open from amo_breakers where key = 'amocrm'`,
      )
      t.same(row, { openings: isOpen ? 2 : 1, open: isOpen || null }, code)
    }
  },
)

t.test(
  'a claim for a probe: nothing is sent under it, and it takes no token of the pace',
  async (t) => {
    const ledger = await due(t, 5)
    await query(
      ledger.databaseUrl,
      `update amo_integrations set "pacePerSecond" = 2, "paceTokens" = 4`,
    )
    for (const accountId of [1, 2, 3]) {
      const claim = await claimForProbe(ledger.claimContext, { integration: 'amocrm', accountId })
      t.equal(claim && (await recordSend(ledger.claimContext, claim)), false)
    }
    t.ok(await ledger.claim(4))
    t.ok(await ledger.claim(5))
  },
)

t.test('the canary: none while another breaker of its integration is open', async (t) => {
  const ledger = await due(t, 6)
  const claims = []
  for (const id of [1, 2, 3, 4, 5]) claims.push(await ledger.claim(id))
  const [first, second, ...rest] = claims as [Claim, Claim, Claim, Claim, Claim]
  await fail(ledger, first, 'gateway_error')
  await fail(ledger, second, 'gateway_error')
  for (const claim of rest)
    await countRefusal(breaking(ledger.claimContext), claim, 'client_rejected')
  await query(
    ledger.databaseUrl,
    `update amo_breakers set "openUntil" = now() where key = 'amocrm'`,
  )
  t.same(await claimCanaries(ledger.claimContext), [])
  await ripen(ledger)
  t.equal((await claimCanaries(ledger.claimContext)).length, 1)
})

t.test('the next client secret: once it is swapped in, the canary goes at once', async (t) => {
  const { databaseUrl, sandbox, start } = await createDatabaseWithAccounts(t, 5)
  const broker = await start({ PACE_PER_SECOND: '50', BREAKER_MS: '600000' })
  const renewed = 'the-renewed-secret'
  sandbox.world.addIntegration({
    platform: 'amocrm',
    clientId: CLIENT_ID,
    clientSecret: renewed,
    redirectUri: `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`,
  })
  await makeAllDue(databaseUrl)
  const openBreakers = () =>
    query(databaseUrl, `select key from amo_breakers where "openUntil" is not null`)
  await until(async () => (await openBreakers()).length > 0)
  const path = '/integrations/amocrm'
  const put = { client_secret: renewed }
  t.equal((await ask(broker.url, 'PUT', `${path}/next-client-secret`, operator, put)).status, 204)
  await ask(broker.url, 'POST', `${path}/resume`, operator)
  await until(async () => (await openBreakers()).length === 0, 20_000)
  t.match(broker.log(), /client secret refused, next one tried/)
  const committed = `select from amo_refresh_attempts where outcome = 'committed'`
  t.ok((await query(databaseUrl, committed)).length > 0)
})

t.test('two wrong client secrets are not tried in turn without a pause', async (t) => {
  const { databaseUrl, sandbox, start } = await createDatabaseWithAccounts(t, 5)
  const broker = await start({ PACE_PER_SECOND: '50', BREAKER_MS: '600000' })
  sandbox.world.addIntegration({
    platform: 'amocrm',
    clientId: CLIENT_ID,
    clientSecret: 'another-secret',
    redirectUri: `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`,
  })
  const path = '/integrations/amocrm/next-client-secret'
  const put = { client_secret: 'wrong-as-well' }
  t.equal((await ask(broker.url, 'PUT', path, operator, put)).status, 204)
  await makeAllDue(databaseUrl)
  const sent = async () =>
    (await query(databaseUrl, `select from amo_refresh_attempts where "sendCount" > 0`)).length
  await until(async () => broker.log().split('client secret refused').length > 2)
  const before = await sent()
  await delay(3_000)
  t.ok((await sent()) - before <= 5, `${(await sent()) - before} more sends`)
})
