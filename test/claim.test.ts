import { sql } from 'kysely'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { Claim } from '../src/claims/claim.ts'
import { claimAccount } from '../src/claims/claim-account.ts'
import { claimDueAccounts } from '../src/claims/claim-due-accounts.ts'
import { findClaimRejection } from '../src/claims/claim-rejection.ts'
import { hasLeaseForSend } from '../src/claims/lease.ts'
import { leaveUnresolved } from '../src/claims/leave-unresolved.ts'
import { reclaimExpired } from '../src/claims/reclaim-expired.ts'
import { recordSend } from '../src/claims/record-send.ts'
import { releaseUnsent } from '../src/claims/release-unsent.ts'
import { releaseWithBackoff } from '../src/claims/release-with-backoff.ts'
import { requireReauth } from '../src/claims/require-reauth.ts'
import { commitPair } from '../src/pairs/commit-pair.ts'
import { isOnNewTimeline, nextGeneration, raiseGenerations } from '../src/pairs/fence.ts'
import { tokenAt } from '../src/vault/sealed-places.ts'
import { query } from './support/database.ts'
import { createLedger, KEY, type Ledger } from './support/engine.ts'

const BLOCKED = { code: 'blocked', outcome: 'refused' } as const

async function claimOf(
  t: Test,
  ledger: Ledger,
  claimContext = ledger.claimContext,
): Promise<Claim> {
  const [row] = await query(ledger.databaseUrl, 'select generation from amo_tokens limit 1')
  const claim = await claimAccount(claimContext, KEY, Number(row?.generation), 'waiting')
  if (claim === undefined) return t.bailout('the account could not be claimed') as never
  return claim
}

const rowOf = async ({ databaseUrl }: Ledger) =>
  (
    await query(
      databaseUrl,
      `select generation::float8, status, "refreshTokenFingerprint" as fingerprint, "failedAttempts", "lastErrorCode",
         "nextAttemptAt" > now() as "isLater" from amo_tokens where "accountId" = ${KEY.accountId}`,
    )
  )[0]

const attemptsOf = ({ databaseUrl }: Ledger) =>
  query(
    databaseUrl,
    'select outcome, "parkedPair" is not null as parked from amo_refresh_attempts order by id',
  )

t.test('claim: one at a time; the second is rejected as claimed', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  const again = await claimAccount(ledger.other, KEY, claim.generation, 'waiting')
  t.equal(again, undefined)
  const why = await findClaimRejection(ledger.other, KEY, claim.generation)
  t.match(why, { reason: 'claimed' })
  t.ok('leaseLeftMs' in why && why.leaseLeftMs > 40_000, 'a whole lease is left')
})

t.test('claim: twenty at once from two processes, one is granted', async (t) => {
  const ledger = await createLedger(t)
  const [row] = await query(ledger.databaseUrl, 'select generation::float8 from amo_tokens')
  const claims = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      claimAccount(index % 2 ? ledger.claimContext : ledger.other, KEY, row?.generation, 'waiting'),
    ),
  )
  t.equal(claims.filter((claim) => claim !== undefined).length, 1)
})

/** Opens a transaction that changes the account's row and is not committed yet. */
async function holderOf(t: Test, ledger: Ledger, ...statements: string[]): Promise<pg.Client> {
  const holder = new pg.Client({ connectionString: ledger.databaseUrl })
  await holder.connect()
  t.teardown(() => holder.end())
  await holder.query('begin')
  for (const statement of statements) await holder.query(statement)
  return holder
}

const MOVED_ON = `update amo_tokens set generation = nextval('amo_generation'), "refreshTokenFingerprint" = 'new'`
/** Sealed values that cannot be opened here. */
const NEW_PAIR = `${MOVED_ON}, "refreshToken" = 'new'`

t.test('claim: rejected after waiting behind a commit', async (t) => {
  // The race R1 that the model checker found, run with the real statement. Without `for no key
  // update` the claim does not wait for the row, and is granted for the generation that the other
  // transaction has just replaced.
  const ledger = await createLedger(t)
  const [row] = await query(ledger.databaseUrl, 'select generation::float8 from amo_tokens')
  const holder = await holderOf(t, ledger, NEW_PAIR)
  const waiting = claimAccount(ledger.other, KEY, row?.generation, 'waiting')
  await isBlocked(ledger)
  await holder.query('commit')
  t.equal(await waiting, undefined, 'no claim for the generation that is gone')
  t.equal((await attemptsOf(ledger)).length, 0, 'nothing was written')
  t.match(await findClaimRejection(ledger.other, KEY, row?.generation), {
    reason: 'generation_moved',
  })
})

t.test('claim: rejected when the other attempt finishes and commits at once', async (t) => {
  const ledger = await createLedger(t)
  const held = await claimOf(t, ledger)
  const finish = `update amo_refresh_attempts set outcome = 'committed', "finishedAt" = now()`
  const holder = await holderOf(t, ledger, NEW_PAIR, finish)
  const racing = [
    claimAccount(ledger.other, KEY, held.generation, 'waiting'),
    claimDueAccounts(ledger.other, KEY.integration, 10).then(([first]) => first),
  ]
  await holder.query('commit')
  t.same(await Promise.all(racing), [undefined, undefined])
  t.same(await attemptsOf(ledger), [{ outcome: 'committed', parked: false }])
})

t.test('claim: after waiting behind a failure, the new row decides', async (t) => {
  const ledger = await createLedger(t)
  const [row] = await query(ledger.databaseUrl, 'select generation::float8 from amo_tokens')
  const failure = `update amo_tokens set "nextAttemptAt" = now() + interval '1 hour', "failedAttempts" = 1`
  const holder = await holderOf(t, ledger, failure)
  const waiting = claimAccount(ledger.other, KEY, row?.generation, 'waiting')
  await isBlocked(ledger)
  await holder.query('commit')
  t.equal(await waiting, undefined)
  t.match(await findClaimRejection(ledger.other, KEY, row?.generation), { reason: 'backoff' })
})

/** A statement may take this long to reach the lock that it waits for. */
const BLOCK_LIMIT_MS = 15_000

/** Waits until a statement waits for the row lock. */
async function isBlocked({ databaseUrl }: Ledger): Promise<void> {
  const endMs = performance.now() + BLOCK_LIMIT_MS
  while (performance.now() < endMs) {
    const rows = await query(
      databaseUrl,
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    if (rows.length > 0) return
  }
  throw new Error('nobody waits for the lock')
}

t.test('claim: rejected where nothing may be sent', async (t) => {
  const cases = {
    'the account is paused': `update amo_tokens set paused = true`,
    'a shadow account': `update amo_tokens set shadow = true`,
    'an account to be authorized again': `update amo_tokens set status = 'reauth_required'`,
    'a disconnected account': `update amo_tokens set status = 'disconnected'`,
    'a long-lived token': `update amo_tokens set kind = 'long_lived'`,
    'a paused integration': `update amo_integrations set state = 'paused'`,
    'a halted integration': `update amo_integrations set state = 'halted'`,
    'a copied database': `update amo_deployment set "deploymentId" = 'elsewhere'`,
    'a token sealed under a key that is not loaded': `update amo_tokens set "refreshToken" = 'gone.abc'`,
  }
  for (const [title, statement] of Object.entries(cases)) {
    const ledger = await createLedger(t)
    const [row] = await query(ledger.databaseUrl, 'select generation::float8 from amo_tokens')
    await query(ledger.databaseUrl, statement)
    t.equal(
      await claimAccount(ledger.claimContext, KEY, row?.generation, 'waiting'),
      undefined,
      title,
    )
    t.same(await claimDueAccounts(ledger.claimContext, 'amocrm', 10), [], `${title}, when due`)
    t.match(
      await findClaimRejection(ledger.claimContext, KEY, row?.generation),
      { reason: 'not_sendable' },
      title,
    )
    t.equal((await attemptsOf(ledger)).length, 0)
  }
})

t.test('claim: not before nextAttemptAt, not for another generation', async (t) => {
  const ledger = await createLedger(t)
  const key = { integration: 'amocrm', accountId: 2 }
  const generation = await ledger.addAccount(key, 3600)
  t.equal(await claimAccount(ledger.claimContext, key, generation, 'waiting'), undefined)
  t.match(await findClaimRejection(ledger.claimContext, key, generation), { reason: 'not_due' })
  t.equal(await claimAccount(ledger.claimContext, KEY, generation, 'waiting'), undefined)
  t.match(await findClaimRejection(ledger.claimContext, KEY, generation), {
    reason: 'generation_moved',
  })
  t.match(await findClaimRejection(ledger.claimContext, { ...key, accountId: 3 }, 1), {
    reason: 'missing',
  })
})

t.test(
  'claimDueAccounts: longest overdue first, within the pace, one token left for readers',
  async (t) => {
    const ledger = await createLedger(t)
    for (let id = 1; id <= 9; id += 1)
      await ledger.addAccount({ integration: 'amocrm', accountId: id }, -100 + id)
    await query(
      ledger.databaseUrl,
      `update amo_integrations set "pacePerSecond" = 0.001, "paceTokens" = 4, "paceAt" = now()`,
    )
    const claims = await claimDueAccounts(ledger.claimContext, 'amocrm', 10)
    t.same(
      claims.map(({ accountId }) => accountId).sort(),
      [1, 2, 3],
      'three of four tokens of the bucket',
    )
    t.same(
      await claimDueAccounts(ledger.other, 'amocrm', 10),
      [],
      'the last one is not for scheduled work',
    )
    const [row] = await query(
      ledger.databaseUrl,
      'select generation::float8 from amo_tokens where "accountId" = 9',
    )
    const key = { integration: 'amocrm', accountId: 9 }
    t.ok(await claimAccount(ledger.other, key, row?.generation, 'waiting'), 'who waits gets it')
    const [next] = await query(
      ledger.databaseUrl,
      'select generation::float8 from amo_tokens where "accountId" = 8',
    )
    t.equal(
      await claimAccount(ledger.other, { ...key, accountId: 8 }, next?.generation, 'waiting'),
      undefined,
    )
    t.match(await findClaimRejection(ledger.other, { ...key, accountId: 8 }, next?.generation), {
      reason: 'paced',
    })
  },
)

t.test('claimDueAccounts from two processes: no account twice, never above the pace', async (t) => {
  const ledger = await createLedger(t)
  for (let id = 1; id <= 60; id += 1)
    await ledger.addAccount({ integration: 'amocrm', accountId: id }, -id)
  await query(
    ledger.databaseUrl,
    `update amo_integrations set "pacePerSecond" = 0.001, "paceTokens" = 4`,
  )
  const batches = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      claimDueAccounts(index % 2 ? ledger.claimContext : ledger.other, 'amocrm', 10),
    ),
  )
  const ids = batches.flat().map(({ accountId }) => accountId)
  t.equal(new Set(ids).size, ids.length, 'no account twice')
  t.ok(ids.length >= 1 && ids.length <= 3, `${ids.length} of 3 tokens used`)
})

t.test(
  'claimDueAccounts: idle accounts come last and never take the last tokens of the pace',
  async (t) => {
    const ledger = await createLedger(t)
    for (let id = 1; id <= 6; id += 1)
      await ledger.addAccount({ integration: 'amocrm', accountId: id }, -id)
    await query(
      ledger.databaseUrl,
      `update amo_integrations set "pacePerSecond" = 0.001, "paceTokens" = 4`,
    )
    // Idle accounts, overdue for longer than all others. One of them has failed, which does not
    // mean that it is read.
    await query(
      ledger.databaseUrl,
      `update amo_tokens set "refreshAt" = now() - interval '30 days', "nextAttemptAt" = now() - interval '1 day',
       "failedAttempts" = case when "accountId" = 1 then 3 else 0 end
     where "accountId" between 1 and 5`,
    )
    const claimed = async (lane: 'due' | 'idle') =>
      (await claimDueAccounts(ledger.claimContext, 'amocrm', 10, lane))
        .map(({ accountId }) => accountId)
        .sort((left, right) => left - right)
    t.same(await claimed('due'), [1, 6, KEY.accountId])
    t.same(await claimed('idle'), [], 'one token is left, and it is not theirs')
    await query(
      ledger.databaseUrl,
      `update amo_refresh_attempts set "finishedAt" = now(), outcome = 'not_sent'`,
    )
    await query(ledger.databaseUrl, `update amo_integrations set "paceTokens" = 4`)
    t.equal((await claimed('idle')).length, 2, 'two are kept for who waits, and for what is in use')
  },
)

t.test(
  'claim: the token comes sealed from the locked row, with a synchronous commit',
  async (t) => {
    const ledger = await createLedger(t)
    await ledger.claimContext.claims.transaction().execute(async (trx) => {
      await sql`set local synchronous_commit = off`.execute(trx)
      const [row] = await query(
        ledger.databaseUrl,
        'select generation::float8, "refreshToken" from amo_tokens',
      )
      const claim = await claimAccount(
        { ...ledger.claimContext, claims: trx },
        KEY,
        row?.generation,
        'waiting',
      )
      t.equal(claim?.refreshToken, row?.refreshToken)
      const { rows } = await sql`show synchronous_commit`.execute(trx)
      t.same(rows, [{ synchronous_commit: 'on' }])
    })
  },
)

t.test(
  'claim: its token belongs to its generation, even if another commit follows at once',
  async (t) => {
    const ledger = await createLedger(t)
    const { claimContext, commitContext, other } = ledger
    const [row] = await query(ledger.databaseUrl, 'select generation::float8 from amo_tokens')
    // Another process refreshes the account after the first statement of the claim, and before any
    // that may follow.
    let statements = 0
    const claims = claimContext.claims.withPlugin({
      transformQuery: ({ node }) => node,
      async transformResult({ result }) {
        statements += 1
        if (statements > 1) return result
        await query(ledger.databaseUrl, `delete from amo_refresh_attempts`)
        const claim = await claimAccount(other, KEY, row?.generation, 'waiting')
        if (claim !== undefined) await commitPair(commitContext, ledger.receivedFor(claim))
        return result
      },
    })
    const claim = await claimAccount({ ...claimContext, claims }, KEY, row?.generation, 'waiting')
    if (claim === undefined) return t.bailout('not claimed')
    const [now] = await query(ledger.databaseUrl, 'select generation::float8 from amo_tokens')
    t.not(now?.generation, claim.generation, 'the row has moved on')
    const at = tokenAt(claim, 'refreshToken')
    t.match(ledger.config.keyRing.open(claim.refreshToken, at).reveal(), /^def502-/)
  },
)

t.test('send: recorded before, fenced by owner, generation and fingerprint', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  t.equal(await recordSend(ledger.other, { ...claim }), false, 'not by another owner')
  t.equal(await recordSend(ledger.claimContext, claim), true)
  t.equal(claim.sendCount, 1)
  await query(ledger.databaseUrl, `update amo_tokens set generation = nextval('amo_generation')`)
  t.equal(await recordSend(ledger.claimContext, claim), false, 'not once the row has moved on')
})

t.test(
  'claim: without a second place for the response, only at the end of the token',
  async (t) => {
    const ledger = await createLedger(t)
    const { databaseUrl } = ledger
    const claimContext = { ...ledger.claimContext, hasSecondPlace: () => false }
    const [row] = await query(databaseUrl, 'select generation::float8 from amo_tokens')
    t.equal(await claimAccount(claimContext, KEY, row?.generation, 'waiting'), undefined)
    t.same(await claimDueAccounts(claimContext, 'amocrm', 10), [])
    t.same(await attemptsOf(ledger), [], 'it waits without a claim')
    t.match(await findClaimRejection(claimContext, KEY, row?.generation), {
      reason: 'no_second_place',
    })
    const claim = await claimOf(t, ledger)
    t.equal(await recordSend(claimContext, claim), false, 'nor is a claim from before sent')
    await query(
      databaseUrl,
      `update amo_tokens set "expiresAt" = now() + interval '4 seconds', "issuedAt" = now() - interval '1 hour'`,
    )
    t.equal(await recordSend(claimContext, claim), true)
  },
)

t.test('claim: nothing is claimed in a gap', async (t) => {
  const ledger = await createLedger(t)
  const claimContext = { ...ledger.claimContext, hasGap: () => true }
  const [row] = await query(ledger.databaseUrl, 'select generation::float8 from amo_tokens')
  t.equal(await claimAccount(claimContext, KEY, row?.generation, 'waiting'), undefined)
  t.same(await claimDueAccounts(claimContext, 'amocrm', 10), [])
  t.same(await attemptsOf(ledger), [])
})

t.test('after a gap no generation is used twice, whichever replica repairs it', async (t) => {
  const ledger = await createLedger(t)
  const { databaseUrl, claimContext } = ledger
  const { claims } = claimContext
  const lastValue = async () => {
    const [row] = await query(databaseUrl, 'select last_value::float8 from amo_generation')
    return Number(row?.last_value)
  }
  await raiseGenerations(claims, 1, { isCertain: false })
  t.equal(await lastValue(), 1, 'a start without a gap skips none')
  const beganMicros = Date.now() * 1_000
  await raiseGenerations(claims, 70, { isCertain: false })
  t.ok((await lastValue()) >= beganMicros, 'a journal knows of a later one: it begins at the time')
  const future = 4_000_000_000_000_000
  await query(
    databaseUrl,
    `update amo_tokens set generation = ${future}; select setval('amo_generation', 3)`,
  )
  await Promise.all(
    Array.from({ length: 3 }, () => raiseGenerations(claims, 70, { isCertain: true })),
  )
  const past = 'one after the other beyond the greatest in the table, when the clock is behind it'
  t.equal(await lastValue(), future + 3_000_000, past)
})

t.test(
  'a failover forgets that the sequence was raised: no generation is used twice',
  async (t) => {
    const ledger = await createLedger(t)
    const { databaseUrl, claimContext } = ledger
    const { claims } = claimContext
    const take = () => claims.transaction().execute((trx) => nextGeneration(trx))
    await raiseGenerations(claims, 1, { isCertain: true })
    const former = [await take(), await take()]
    await query(
      databaseUrl,
      `select setval('amo_generation', 1); update amo_timeline set timeline = timeline - 1`,
    )
    const next = await take()
    t.ok(next > Math.max(...former), `${next} after ${former}`)
  },
)

t.test('the first commits on a promoted server use no generation twice', async (t) => {
  const ledger = await createLedger(t)
  const { databaseUrl, claimContext, commitContext } = ledger
  const { claims } = claimContext
  await ledger.addAccount({ ...KEY, accountId: 2 }, -1)
  t.equal(await isOnNewTimeline(claims), false)
  const before = await claimDueAccounts(claimContext, 'amocrm', 10)
  t.equal(before.length, 2)
  const beganMicros = Date.now() * 1_000
  await query(databaseUrl, 'update amo_timeline set timeline = timeline + 1')
  t.equal(await isOnNewTimeline(claims), true, 'nobody has noticed the failover')
  const results = await Promise.all(
    before.map((claim) => commitPair(commitContext, ledger.receivedFor(claim))),
  )
  t.match(results, [{ result: 'committed' }, { result: 'committed' }])
  const rows = await query(databaseUrl, 'select generation::float8 from amo_tokens order by 1')
  const [first = 0, second = 0] = rows.map(({ generation }) => Number(generation))
  t.ok(first > beganMicros, 'beyond what the former primary may have given out')
  t.equal(second, first + 1, 'the sequence was raised once')
  t.equal(await isOnNewTimeline(claims), true, 'other replicas may not have noticed it yet')
  await query(databaseUrl, `update amo_timeline set "seenAt" = now() - interval '11 seconds'`)
  t.equal(await isOnNewTimeline(claims), false)
  await query(databaseUrl, 'update amo_timeline set timeline = null')
  t.equal(await isOnNewTimeline(claims), false, 'a server that does not show its timeline')
})

t.test('an attempt keeps its steps: who did what, and when', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await recordSend(ledger.claimContext, claim)
  await leaveUnresolved(ledger.claimContext, claim, 'no_answer')
  await query(
    ledger.databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`,
  )
  const [again] = await reclaimExpired(ledger.other, 1)
  await commitPair(ledger.commitContext, ledger.receivedFor(again ?? claim))
  const stepsOf = async () => {
    const [row] = await query(ledger.databaseUrl, 'select steps from amo_refresh_attempts')
    return row?.steps
  }
  const { owner } = ledger.claimContext
  t.match(await stepsOf(), [
    { kind: 'claimed', owner, result: 'refresh', at: /^\d{4}-/ },
    { kind: 'sent', owner },
    { kind: 'unresolved', owner, result: 'no_answer' },
    { kind: 'reclaimed', owner: ledger.other.owner },
    { kind: 'committed', owner: ledger.commitContext.owner },
  ])
  await query(
    ledger.databaseUrl,
    `do $$ begin for n in 1..60 loop
       update amo_refresh_attempts set steps = amo_add_step(steps, 'sent', n::text, null);
     end loop; end $$`,
  )
  const steps = await stepsOf()
  t.equal(steps.length, 50)
  t.match([steps[0], steps.at(-1)], [{ kind: 'claimed' }, { owner: '60' }], 'first and newest')
})

t.test('send: not after the lease, nor with too little of it left', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  t.equal(hasLeaseForSend(ledger.claimContext, claim), true)
  claim.leaseEndsAtMs -= 10_000
  t.equal(
    hasLeaseForSend(ledger.claimContext, claim),
    false,
    'the rest no longer covers answer and commit',
  )
  await query(
    ledger.databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 second'`,
  )
  t.equal(await recordSend(ledger.claimContext, claim), false)
})

t.test('commit: the fence decides, not the owner and not the state of the attempt', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await recordSend(ledger.claimContext, claim)
  t.equal(await requireReauth(ledger.claimContext, claim, 'pair_lost', 'lost'), true)
  t.match(await rowOf(ledger), { status: 'reauth_required' })
  const answer = ledger.receivedFor(claim)
  t.match(await commitPair(ledger.commitContext, answer), { result: 'committed' })
  t.match(await rowOf(ledger), { status: 'active', failedAttempts: 0, lastErrorCode: null })
  t.match(
    await commitPair(ledger.commitContext, answer),
    { result: 'already' },
    'again: its own commit',
  )
  t.match(await attemptsOf(ledger), [{ outcome: 'committed', parked: false }])
})

t.test('commit: an unapproved account is revived as pending', async (t) => {
  const ledger = await createLedger(t)
  await query(ledger.databaseUrl, `update amo_tokens set status = 'pending', "approvedAt" = null`)
  const claim = await claimOf(t, ledger)
  await requireReauth(ledger.claimContext, claim, 'pair_lost', 'lost')
  await commitPair(ledger.commitContext, ledger.receivedFor(claim))
  t.match(await rowOf(ledger), { status: 'pending' })
})

t.test('commit: an operator’s removal is not undone', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await query(ledger.databaseUrl, `update amo_tokens set status = 'disconnected'`)
  await commitPair(ledger.commitContext, ledger.receivedFor(claim))
  t.match(await rowOf(ledger), { status: 'disconnected' })
})

t.test(
  'commit: the later of two pairs is parked, never dropped, never stored over the newer one',
  async (t) => {
    const ledger = await createLedger(t)
    const claim = await claimOf(t, ledger)
    const late = ledger.receivedFor(claim)
    await commitPair(ledger.commitContext, ledger.receivedFor(claim))
    const winner = await rowOf(ledger)
    // The response of a frozen process, whose attempt another process has finished.
    await query(ledger.databaseUrl, `update amo_refresh_attempts set outcome = 'lost'`)
    t.match(await commitPair(ledger.commitContext, late), { result: 'parked' })
    t.same(await rowOf(ledger), winner)
    t.same((await attemptsOf(ledger)).at(-1), { outcome: 'superseded', parked: true })
    t.match(
      await commitPair(ledger.commitContext, late),
      { result: 'parked' },
      'again, as after a lost acknowledgement',
    )
    const { length } = (await attemptsOf(ledger)).filter(({ parked }) => parked)
    t.equal(length, 1, 'parked once')
  },
)

t.test('commit: fenced by the fingerprint', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await query(
    ledger.databaseUrl,
    `update amo_tokens set "refreshTokenFingerprint" = 'onboarded again'`,
  )
  t.match(await commitPair(ledger.commitContext, ledger.receivedFor(claim)), { result: 'parked' })
})

t.test('commit: the token decides, also when it came back under another generation', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  // A failover forgot the pair, and its journaled response was committed again.
  await query(
    ledger.databaseUrl,
    `with moved as (select nextval('amo_generation') as generation)
     update amo_tokens set generation = moved.generation from moved`,
  )
  const again = await rowOf(ledger)
  const received = ledger.receivedFor(claim)
  t.match(await commitPair(ledger.commitContext, received), { result: 'committed' })
  t.ok(Number((await rowOf(ledger))?.generation) > Number(again?.generation))
  t.match(await commitPair(ledger.commitContext, received), { result: 'already' })
})

t.test('commit: an own commit is recognised by the row, even without its attempt', async (t) => {
  const ledger = await createLedger(t)
  const answer = ledger.receivedFor(await claimOf(t, ledger))
  await commitPair(ledger.commitContext, answer)
  await query(ledger.databaseUrl, 'truncate amo_refresh_attempts')
  t.match(await commitPair(ledger.commitContext, answer), { result: 'already' })
  t.same(await attemptsOf(ledger), [], 'nothing is parked')
})

t.test('commit: a time of issue that cannot be right is not believed', async (t) => {
  for (const [skewMs, isBelieved] of [
    [60_000, true],
    [-3_600_000, false],
  ] as const) {
    const ledger = await createLedger(t)
    const received = ledger.receivedFor(await claimOf(t, ledger))
    const issuedAtSeconds = Math.floor((received.sentAtMs + skewMs) / 1000)
    const { accountId } = KEY
    received.pair.claims = {
      accountId,
      audience: 'id',
      issuedAtSeconds,
      apiDomain: undefined,
      expiresAtSeconds: undefined,
    }
    t.match(await commitPair(ledger.commitContext, received), { result: 'committed' })
    const [row] = await query(ledger.databaseUrl, 'select "issuedAt" from amo_tokens')
    const offMs = Math.abs(row?.issuedAt.getTime() - received.sentAtMs)
    t.equal(offMs > 50_000, isBelieved, `${skewMs} ms`)
  }
})

t.test('commit: the pair of a removed account is parked', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await query(ledger.databaseUrl, `delete from amo_tokens`)
  t.match(await commitPair(ledger.commitContext, ledger.receivedFor(claim)), { result: 'parked' })
  t.match(await attemptsOf(ledger), [{ outcome: 'superseded', parked: true }])
})

t.test(
  'releaseWithBackoff: finishes the claim, and the account waits longer every time',
  async (t) => {
    const ledger = await createLedger(t)
    await releaseWithBackoff(ledger.claimContext, await claimOf(t, ledger), {
      code: 'rate_limited',
      outcome: 'refused',
      retryAfterSeconds: 30,
    })
    t.match(await rowOf(ledger), {
      failedAttempts: 1,
      lastErrorCode: 'rate_limited',
      isLater: true,
    })
    const [row] = await query(
      ledger.databaseUrl,
      `select extract(epoch from "nextAttemptAt" - now())::float8 as seconds from amo_tokens`,
    )
    t.ok(row?.seconds > 29 && row?.seconds < 40, `Retry-After is kept: ${row?.seconds} s`)
    await query(
      ledger.databaseUrl,
      `update amo_tokens set "nextAttemptAt" = now(), "failedAttempts" = 50`,
    )
    await releaseWithBackoff(ledger.claimContext, await claimOf(t, ledger), BLOCKED)
    t.match(await rowOf(ledger), { failedAttempts: 51, lastErrorCode: 'blocked' }, 'no overflow')
  },
)

t.test('requireReauth: by the owner only, and only for the current pair', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  t.equal(
    await requireReauth(ledger.other, claim, 'token_revoked', 'refused'),
    false,
    'not by another',
  )
  await commitPair(ledger.commitContext, ledger.receivedFor(claim))
  t.equal(
    await requireReauth(ledger.claimContext, claim, 'token_revoked', 'refused'),
    false,
    'not after a commit',
  )
  t.match(await rowOf(ledger), { status: 'active' })
})

t.test('releaseUnsent: only a claim that was never sent', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await recordSend(ledger.claimContext, claim)
  await releaseUnsent(ledger.claimContext, claim)
  t.match(await attemptsOf(ledger), [{ outcome: null }])
})

t.test('reclaim: after the lease, and what was sent only after the settle time', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  t.same(await reclaimExpired(ledger.other, 10), [], 'not while the lease holds')
  await recordSend(ledger.claimContext, claim)
  await leaveUnresolved(ledger.claimContext, claim, 'no_answer')
  t.same(await reclaimExpired(ledger.other, 10), [], 'not before the settle time')
  await query(
    ledger.databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '61 seconds'`,
  )
  const [taken] = await reclaimExpired(ledger.other, 10)
  t.match(taken, { attemptId: claim.attemptId, sendCount: 1, refreshToken: claim.refreshToken })
  t.equal(await recordSend(ledger.claimContext, claim), false, 'the old owner sends no more')
  t.equal(taken && (await recordSend(ledger.other, taken)), true)
})

t.test(
  'reclaim: a sent claim whose row has moved on; nothing is sent for the new pair',
  async (t) => {
    const ledger = await createLedger(t)
    const claim = await claimOf(t, ledger)
    await recordSend(ledger.claimContext, claim)
    const over = `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`
    await query(ledger.databaseUrl, over)
    await query(ledger.databaseUrl, NEW_PAIR)
    t.same(await reclaimExpired(ledger.other, 10), [])
    t.match(await attemptsOf(ledger), [{ outcome: 'superseded' }])
  },
)

t.test('reclaim: a claim whose row moves on at the same time is not reclaimed', async (t) => {
  const ledger = await createLedger(t)
  await recordSend(ledger.claimContext, await claimOf(t, ledger))
  const over = `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`
  await query(ledger.databaseUrl, over)
  // Committed after the check for rows that have moved on, and before the reclaim itself.
  let statements = 0
  const claims = ledger.other.claims.withPlugin({
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      statements += 1
      if (statements === 2) await query(ledger.databaseUrl, MOVED_ON)
      return result
    },
  })
  t.same(await reclaimExpired({ ...ledger.other, claims }, 10), [])
})

t.test(
  'reclaim: by the same process after a freeze; its first flight does nothing more',
  async (t) => {
    const ledger = await createLedger(t)
    const { claimContext } = ledger
    const first = await claimOf(t, ledger)
    await recordSend(claimContext, first)
    await query(
      ledger.databaseUrl,
      `update amo_refresh_attempts set "leaseUntil" = now() - interval '61 seconds'`,
    )
    const [second] = await reclaimExpired(claimContext, 10)
    t.equal(second && (await recordSend(claimContext, second)), true)
    t.equal(await recordSend(claimContext, first), false, 'sends no more')
    t.equal(await requireReauth(claimContext, first, 'pair_lost', 'lost'), false, 'condemns nobody')
    await leaveUnresolved(claimContext, first, 'no_answer')
    await releaseWithBackoff(claimContext, first, BLOCKED)
    await releaseUnsent(claimContext, first, true)
    t.match(await rowOf(ledger), { status: 'active', failedAttempts: 0, lastErrorCode: null })
    t.match(await attemptsOf(ledger), [{ outcome: null }], 'the second flight goes on')
    t.equal(second && (await recordSend(claimContext, second)), true, 'under a lease that holds')
  },
)

t.test('reclaim: nothing in the database of another deployment', async (t) => {
  const ledger = await createLedger(t)
  await recordSend(ledger.claimContext, await claimOf(t, ledger))
  await query(
    ledger.databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`,
  )
  await query(ledger.databaseUrl, `update amo_deployment set "deploymentId" = 'elsewhere'`)
  t.same(await reclaimExpired(ledger.other, 10), [])
  await query(ledger.databaseUrl, NEW_PAIR)
  await reclaimExpired(ledger.other, 10)
  t.match(await attemptsOf(ledger), [{ outcome: null }])
})

t.test('reclaim: a claim whose row has moved on is superseded, nothing is sent', async (t) => {
  const ledger = await createLedger(t)
  await claimOf(t, ledger)
  await query(
    ledger.databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`,
  )
  await query(
    ledger.databaseUrl,
    `update amo_tokens set generation = nextval('amo_generation'), "refreshTokenFingerprint" = 'x'`,
  )
  t.same(await reclaimExpired(ledger.other, 10), [])
  t.match(await attemptsOf(ledger), [{ outcome: 'superseded' }])
})

t.test(
  'requireReauth, releaseWithBackoff, leaveUnresolved: no effect after a reclaim',
  async (t) => {
    // With a snapshot from before the reclaim, the old owner would require a new consent for an
    // account that the new owner is about to refresh.
    const ends = {
      requireReauth: (ledger: Ledger, claim: Claim) =>
        requireReauth(ledger.claimContext, claim, 'pair_lost', 'lost'),
      releaseWithBackoff: (ledger: Ledger, claim: Claim) =>
        releaseWithBackoff(ledger.claimContext, claim, BLOCKED),
      leaveUnresolved: (ledger: Ledger, claim: Claim) =>
        leaveUnresolved(ledger.claimContext, claim, 'no_answer'),
    }
    for (const [title, end] of Object.entries(ends)) {
      const ledger = await createLedger(t)
      const claim = await claimOf(t, ledger)
      await recordSend(ledger.claimContext, claim)
      await query(
        ledger.databaseUrl,
        `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`,
      )
      let ending: Promise<unknown> = Promise.resolve()
      await ledger.other.claims.transaction().execute(async (trx) => {
        const taken = await reclaimExpired({ ...ledger.other, claims: trx }, 10)
        t.equal(taken.length, 1, title)
        ending = end(ledger, claim)
        await isBlocked(ledger)
      })
      await ending
      t.match(await rowOf(ledger), { status: 'active', lastErrorCode: null }, title)
      const [attempt] = await query(
        ledger.databaseUrl,
        'select owner, outcome, "leaseUntil" > now() as held from amo_refresh_attempts',
      )
      t.same(attempt, { owner: ledger.other.owner, outcome: null, held: true }, title)
    }
  },
)

t.test('requireReauth: changes nothing after waiting behind a commit', async (t) => {
  // R5: a check of the row and a later statement would affect a pair that came in between.
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await recordSend(ledger.claimContext, claim)
  const holder = await holderOf(t, ledger, NEW_PAIR)
  const condemning = requireReauth(ledger.claimContext, claim, 'pair_lost', 'lost')
  await isBlocked(ledger)
  await holder.query('commit')
  t.equal(await condemning, false)
  t.match(await rowOf(ledger), { status: 'active', lastErrorCode: null })
})

t.test('requireReauth: of a disconnected account, only finishes the attempt', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await query(ledger.databaseUrl, `update amo_tokens set status = 'disconnected'`)
  t.equal(await requireReauth(ledger.claimContext, claim, 'token_revoked', 'refused'), false)
  t.match(await rowOf(ledger), { status: 'disconnected' })
  t.match(await attemptsOf(ledger), [{ outcome: 'refused' }])
})

t.test(
  'attempts: the response of a forgotten attempt changes no other account’s attempt',
  async (t) => {
    const ledger = await createLedger(t)
    const answer = ledger.receivedFor(await claimOf(t, ledger))
    // As after a failover that forgot the newest rows: another account gets the same id.
    await query(ledger.databaseUrl, 'truncate amo_refresh_attempts restart identity')
    const other = { integration: 'amocrm', accountId: 2 }
    const generation = await ledger.addAccount(other, -1)
    const claim = await claimAccount(ledger.other, other, generation, 'waiting')
    t.equal(claim?.attemptId, answer.attemptId, 'the same id')
    t.match(await commitPair(ledger.commitContext, answer), { result: 'committed' })
    t.match(await attemptsOf(ledger), [{ outcome: null }], 'the other account’s claim is under way')
  },
)

t.test('commit: two pairs under one claim, one is current and one parked', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  const first = ledger.receivedFor(claim)
  const second = ledger.receivedFor(claim)
  t.match(await commitPair(ledger.commitContext, first), { result: 'committed' })
  t.match(await commitPair(ledger.commitContext, second), { result: 'parked' })
  t.match(await commitPair(ledger.commitContext, first), { result: 'already' })
  t.same(await attemptsOf(ledger), [
    { outcome: 'committed', parked: false },
    { outcome: 'superseded', parked: true },
  ])
})
