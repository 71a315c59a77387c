import pg from 'pg'
import t, { type Test } from 'tap'
import type { BreakerFailure } from '../src/db/tables.ts'
import type { RefusalCode } from '../src/provider/refusals.ts'
import { countRefusal, countSuccess, keepOpen } from '../src/refresh/breaker.ts'
import {
  afterFailedCanary,
  afterFailure,
  afterSuccess,
  type Breaker,
} from '../src/refresh/breaker-rules.ts'
import {
  type Claim,
  type Claimant,
  claimAccount,
  claimCanaries,
  claimDueAccounts,
  recordSend,
} from '../src/refresh/claim.ts'
import { claimForVerdict } from '../src/refresh/claim-verdict.ts'
import { handOver, holdBack } from '../src/refresh/finish.ts'
import { whyNotClaimed } from '../src/refresh/not-claimed.ts'
import { until } from './support/broker.ts'
import { query } from './support/database.ts'
import { createLedger, type Ledger } from './support/engine.ts'

const CLOSED: Breaker = {
  failures: [],
  openUntil: null,
  openedAt: null,
  reason: null,
  openings: 0,
  closedAt: null,
}
const at = (nowMs: number) => ({ nowMs, breakerMs: 30_000 })
const failure = (account: string, atMs: number, isAmbiguous = false): BreakerFailure => ({
  account,
  code: isAmbiguous ? 'gateway_error' : 'blocked',
  isAmbiguous,
  atMs,
})

/** The state after these failures, each at its time. */
const after = (...failures: BreakerFailure[]) =>
  failures.reduce((breaker, each) => afterFailure(breaker, each, at(each.atMs)), CLOSED)

t.test('breaker: two unclear answers of different accounts within a minute open it', async (t) => {
  t.equal(after(failure('a', 0, true)).openUntil, null)
  t.equal(after(failure('a', 0, true), failure('a', 1, true)).openUntil, null, 'one account')
  t.equal(after(failure('a', 0, true), failure('b', 60_001, true)).openUntil, null, 'too far apart')
  const open = after(failure('a', 0, true), failure('b', 59_999, true))
  t.match(open, { reason: 'gateway_error', openings: 1, openedAt: new Date(59_999) })
  const openMs = (open.openUntil?.getTime() ?? 0) - 59_999
  t.ok(openMs >= 27_000 && openMs <= 33_000, `${openMs} ms`)
})

t.test('breaker: failures of three accounts open it, of whatever kind', async (t) => {
  const two = [failure('a', 0), failure('b', 1)]
  t.equal(after(...two, failure('a', 2)).openUntil, null, 'of two it stays closed')
  t.ok(after(...two, failure('c', 2)).openUntil)
  t.ok(after(failure('a', 0, true), failure('b', 1), failure('c', 2)).openUntil)
  const again = after(failure('a', 0, true), failure('a', 1), failure('b', 2, true))
  t.ok(again.openUntil, 'an unclear answer is not forgotten for a clear one that follows')
})

t.test(
  'breaker: a success forgets what failed unspent, and nothing that may be spent',
  async (t) => {
    const unspent = afterSuccess(after(failure('a', 0), failure('b', 1)), false, at(2))
    t.same(unspent.failures, [])
    const unclear = afterSuccess(after(failure('a', 0, true)), false, at(2))
    t.ok(afterFailure(unclear, failure('b', 3, true), at(3)).openUntil)
  },
)

t.test(
  'breaker: only the canary closes it; a failed one doubles its time, up to a limit',
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

t.test('breaker: opened again soon, it goes on where it stopped', async (t) => {
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

/** Accounts that are due, 1 … size, and one of them in a claim of its own. */
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
      const claim = await claimAccount(ledger.claimant, key, generations.get(id) ?? 0, 'waiting')
      if (claim === undefined) return t.bailout(`account ${id} could not be claimed`) as never
      return claim
    },
  }
}

/** That there are failures to forget is heard of by notification; here it is taken for granted. */
const breaking = (claimant: Claimant) => ({
  claimant,
  integrations: { find: () => ({ hasFailures: true }) },
})

const breakersOf = ({ databaseUrl }: Ledger) =>
  query(
    databaseUrl,
    `select key, "openUntil" is not null as open, reason from amo_breakers order by key`,
  )

async function fail({ claimant }: Ledger, claim: Claim, code: RefusalCode): Promise<void> {
  await countRefusal(breaking(claimant), claim, code)
  await handOver(claimant, claim, code)
}

t.test('an open breaker: no claim, and no send of a claim from before', async (t) => {
  const ledger = await due(t, 4)
  const claims = [await ledger.claim(1), await ledger.claim(2), await ledger.claim(3)]
  const [first, second, third] = claims as [Claim, Claim, Claim]
  await fail(ledger, first, 'gateway_error')
  t.equal(await recordSend(ledger.claimant, third), true, 'one is no brown-out')
  await fail(ledger, second, 'no_answer')
  t.same(await breakersOf(ledger), [{ key: 'amocrm', open: true, reason: 'no_answer' }])
  t.equal(await recordSend(ledger.claimant, third), false)
  t.same(await claimDueAccounts(ledger.claimant, 'amocrm', 10), [])
  const key = { integration: 'amocrm', accountId: 4 }
  const [row] = await query(
    ledger.databaseUrl,
    `select generation::int from amo_tokens where "accountId" = 4`,
  )
  t.equal(await claimAccount(ledger.other, key, row?.generation, 'waiting'), undefined)
  t.match(await whyNotClaimed(ledger.other, key, row?.generation), { reason: 'breaker' })
  t.same(await claimCanaries(ledger.claimant), [], 'no canary before its time')
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

t.test(
  'a platform that fails stops all of its integrations, and none of the sandbox',
  async (t) => {
    const ledger = await withOthers(t)
    await fail(ledger, await ledger.claim(1), 'gateway_error')
    await fail(ledger, await ledger.claim(2), 'gateway_error')
    t.same(await claimDueAccounts(ledger.claimant, 'second', 10), [])
    t.equal((await claimDueAccounts(ledger.claimant, 'sandboxed', 10)).length, 1)
  },
)

t.test('a configuration that is refused stops its own integration alone', async (t) => {
  const ledger = await withOthers(t)
  for (const id of [1, 2, 3]) {
    const claim = await ledger.claim(id)
    await countRefusal(breaking(ledger.claimant), claim, 'client_rejected')
    await holdBack(ledger.claimant, claim, 'client_rejected', 'refused')
  }
  t.same(await breakersOf(ledger), [
    { key: 'integration amocrm', open: true, reason: 'client_rejected' },
  ])
  t.same(await claimDueAccounts(ledger.claimant, 'amocrm', 10), [])
  t.equal((await claimDueAccounts(ledger.claimant, 'second', 10)).length, 1)
})

t.test(
  'refusals that concern one account, or that the provider understood, open nothing',
  async (t) => {
    const ledger = await due(t, 8)
    for (const [index, code] of (
      ['token_revoked', 'token_expired', 'account_not_found', 'invalid_account'] as const
    ).entries()) {
      await countRefusal(breaking(ledger.claimant), await ledger.claim(2 * index + 1), code)
      await countRefusal(breaking(ledger.claimant), await ledger.claim(2 * index + 2), code)
    }
    t.notOk((await breakersOf(ledger)).some(({ open }) => open))
  },
)

t.test('failures that replicas count at once: none is forgotten', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const ledger = await due(t, 3)
    const claims = [await ledger.claim(1), await ledger.claim(2), await ledger.claim(3)]
    await Promise.all(
      claims.map((claim, index) =>
        countRefusal(breaking(index % 2 ? ledger.claimant : ledger.other), claim, 'rate_limited'),
      ),
    )
    t.match(await breakersOf(ledger), [{ open: true }])
  }
})

/** Its time is over. */
const ripen = ({ databaseUrl }: Ledger) =>
  query(databaseUrl, `update amo_breakers set "openUntil" = now()`)

t.test(
  'a success makes them forgotten; where nothing is to be forgotten it asks nothing',
  async (t) => {
    const ledger = await due(t, 4)
    const success = await ledger.claim(3)
    const failures = async () =>
      (
        await query(
          ledger.databaseUrl,
          `select jsonb_array_length(failures) as n from amo_breakers where key = 'amocrm'`,
        )
      )[0]?.n
    await countRefusal(breaking(ledger.claimant), await ledger.claim(1), 'blocked')
    await countRefusal(breaking(ledger.claimant), await ledger.claim(2), 'blocked')
    const quiet = {
      claimant: ledger.claimant,
      integrations: { find: () => ({ hasFailures: false }) },
    }
    await countSuccess(quiet, success)
    t.equal(await failures(), 2)
    await countSuccess(breaking(ledger.claimant), success)
    t.equal(await failures(), 0)
  },
)

t.test('the canary: one for all replicas and integrations; it alone may send', async (t) => {
  const ledger = await withOthers(t)
  const before = await ledger.claim(3)
  await fail(ledger, await ledger.claim(1), 'gateway_error')
  await fail(ledger, await ledger.claim(2), 'gateway_error')
  await ripen(ledger)
  const claimants: Claimant[] = [ledger.claimant, ledger.other, ledger.claimant, ledger.other]
  // They all find its time over and wait for each other: whoever comes second is judged by what the first one left.
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
  t.same(await claimDueAccounts(ledger.claimant, 'amocrm', 10), [])
  t.equal(await recordSend(ledger.claimant, before), false, 'a claim from before is no canary')
  const sender = await ownerOf(ledger, canary)
  t.equal(await recordSend(sender, canary), true)

  await keepOpen(sender, canary, 'no_answer')
  t.same(await claimCanaries(ledger.other), [], 'open for longer')
  await countSuccess(breaking(ledger.claimant), before)
  t.match(await breakersOf(ledger), [{ open: true }], 'not closed by what was on its way')
  await countSuccess(breaking(sender), canary)
  t.match(await breakersOf(ledger), [{ open: false }])
  t.ok((await claimDueAccounts(ledger.claimant, 'amocrm', 10)).length > 0)
})

const waiting = async ({ databaseUrl }: Ledger) =>
  (
    await query(
      databaseUrl,
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
  ).length

async function ownerOf(ledger: Ledger, claim: Claim): Promise<Claimant> {
  const [row] = await query(
    ledger.databaseUrl,
    'select owner from amo_refresh_attempts where id = $1',
    [claim.attemptId],
  )
  return row?.owner === ledger.other.owner ? ledger.other : ledger.claimant
}

t.test(
  'the canary: a refusal that the provider understood closes it, another one does not',
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
      const [canary] = await claimCanaries(ledger.claimant)
      if (canary !== undefined) await countRefusal(breaking(ledger.claimant), canary, code)
      const [row] = await query(
        ledger.databaseUrl,
        `select openings, "openUntil" > now() as open from amo_breakers where key = 'amocrm'`,
      )
      t.same(row, { openings: isOpen ? 2 : 1, open: isOpen || null }, code)
    }
  },
)

t.test('a claim for a verdict: nothing is sent under it, and it takes no room', async (t) => {
  const ledger = await due(t, 5)
  await query(
    ledger.databaseUrl,
    `update amo_integrations set "pacePerSecond" = 2, "paceTokens" = 4`,
  )
  for (const accountId of [1, 2, 3]) {
    const claim = await claimForVerdict(ledger.claimant, { integration: 'amocrm', accountId })
    t.equal(claim && (await recordSend(ledger.claimant, claim)), false)
  }
  t.ok(await ledger.claim(4))
  t.ok(await ledger.claim(5))
})

t.test('the canary: none while another breaker of its integration is open', async (t) => {
  const ledger = await due(t, 6)
  const claims = []
  for (const id of [1, 2, 3, 4, 5]) claims.push(await ledger.claim(id))
  const [first, second, ...rest] = claims as [Claim, Claim, Claim, Claim, Claim]
  await fail(ledger, first, 'gateway_error')
  await fail(ledger, second, 'gateway_error')
  for (const claim of rest) await countRefusal(breaking(ledger.claimant), claim, 'client_rejected')
  await query(
    ledger.databaseUrl,
    `update amo_breakers set "openUntil" = now() where key = 'amocrm'`,
  )
  t.same(await claimCanaries(ledger.claimant), [])
  await ripen(ledger)
  t.equal((await claimCanaries(ledger.claimant)).length, 1)
})
