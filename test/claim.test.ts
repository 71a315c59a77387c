import { sql } from 'kysely'
import pg from 'pg'
import t, { type Test } from 'tap'
import { tokenAt } from '../src/accounts/sealed-tokens.ts'
import {
  type Claim,
  claimAccount,
  claimDueAccounts,
  mayWrite,
  recordSend,
} from '../src/refresh/claim.ts'
import { commitAnswer } from '../src/refresh/commit.ts'
import { condemn } from '../src/refresh/condemn.ts'
import { giveBack, handOver, holdBack } from '../src/refresh/finish.ts'
import { whyNotClaimed } from '../src/refresh/not-claimed.ts'
import { takeOverClaims } from '../src/refresh/take-over.ts'
import { query } from './support/database.ts'
import { createLedger, KEY, type Ledger } from './support/engine.ts'

async function claimOf(t: Test, ledger: Ledger, claimant = ledger.claimant): Promise<Claim> {
  const [row] = await query(ledger.databaseUrl, 'select generation from amo_tokens limit 1')
  const claim = await claimAccount(claimant, KEY, Number(row?.generation), 'waiting')
  if (claim === undefined) return t.bailout('the account could not be claimed') as never
  return claim
}

const rowOf = async ({ databaseUrl }: Ledger) =>
  (
    await query(
      databaseUrl,
      `select generation::int, status, "refreshTokenFingerprint" as fingerprint, "failedAttempts", "lastErrorCode",
         "nextAttemptAt" > now() as "isLater" from amo_tokens where "accountId" = ${KEY.accountId}`,
    )
  )[0]

const attemptsOf = ({ databaseUrl }: Ledger) =>
  query(
    databaseUrl,
    'select outcome, "parkedPair" is not null as parked from amo_refresh_attempts order by id',
  )

t.test('claim: one at a time; the second one learns who holds it', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  const again = await claimAccount(ledger.other, KEY, claim.generation, 'waiting')
  t.equal(again, undefined)
  const why = await whyNotClaimed(ledger.other, KEY, claim.generation)
  t.match(why, { reason: 'held' })
  t.ok('leaseLeftMs' in why && why.leaseLeftMs > 40_000, 'a whole lease is left')
})

t.test('claim: twenty at once, from two processes, are granted once', async (t) => {
  const ledger = await createLedger(t)
  const [row] = await query(ledger.databaseUrl, 'select generation::int from amo_tokens')
  const claims = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      claimAccount(index % 2 ? ledger.claimant : ledger.other, KEY, row?.generation, 'waiting'),
    ),
  )
  t.equal(claims.filter((claim) => claim !== undefined).length, 1)
})

/** A transaction that changes the account's row and is not committed yet. */
async function holderOf(t: Test, ledger: Ledger, ...statements: string[]): Promise<pg.Client> {
  const holder = new pg.Client({ connectionString: ledger.databaseUrl })
  await holder.connect()
  t.teardown(() => holder.end())
  await holder.query('begin')
  for (const statement of statements) await holder.query(statement)
  return holder
}

const MOVED_ON = `update amo_tokens set generation = nextval('amo_generation'), "refreshTokenFingerprint" = 'new'`
/** Which nobody here can open. */
const NEW_PAIR = `${MOVED_ON}, "refreshToken" = 'new'`

t.test('claim: one that waits behind a committing holder is refused', async (t) => {
  // The race of the model checker (R1), raced with the statement of the code. Without `for no key update` the claim
  // does not wait for the row, and is granted for the generation that the holder has just replaced.
  const ledger = await createLedger(t)
  const [row] = await query(ledger.databaseUrl, 'select generation::int from amo_tokens')
  const holder = await holderOf(t, ledger, NEW_PAIR)
  const waiting = claimAccount(ledger.other, KEY, row?.generation, 'waiting')
  await isBlocked(ledger)
  await holder.query('commit')
  t.equal(await waiting, undefined, 'no claim for the generation that is gone')
  t.equal((await attemptsOf(ledger)).length, 0, 'nothing was written')
  t.match(await whyNotClaimed(ledger.other, KEY, row?.generation), { reason: 'moved_on' })
})

t.test('claim: one that meets a holder who finishes and commits at once is refused', async (t) => {
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

t.test('claim: one that waits behind a failure is judged by the row that it left', async (t) => {
  const ledger = await createLedger(t)
  const [row] = await query(ledger.databaseUrl, 'select generation::int from amo_tokens')
  const failure = `update amo_tokens set "nextAttemptAt" = now() + interval '1 hour', "failedAttempts" = 1`
  const holder = await holderOf(t, ledger, failure)
  const waiting = claimAccount(ledger.other, KEY, row?.generation, 'waiting')
  await isBlocked(ledger)
  await holder.query('commit')
  t.equal(await waiting, undefined)
  t.match(await whyNotClaimed(ledger.other, KEY, row?.generation), { reason: 'held_back' })
})

/** So long a statement may take to come to the lock that it waits for. */
const BLOCK_LIMIT_MS = 15_000

/** Waits until somebody stands behind the holder's row lock. */
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

t.test('claim: refused where nothing may be sent', async (t) => {
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
    const [row] = await query(ledger.databaseUrl, 'select generation::int from amo_tokens')
    await query(ledger.databaseUrl, statement)
    t.equal(await claimAccount(ledger.claimant, KEY, row?.generation, 'waiting'), undefined, title)
    t.same(await claimDueAccounts(ledger.claimant, 'amocrm', 10), [], `${title}, when due`)
    t.match(
      await whyNotClaimed(ledger.claimant, KEY, row?.generation),
      { reason: 'not_sendable' },
      title,
    )
    t.equal((await attemptsOf(ledger)).length, 0)
  }
})

t.test('claim: not before its time, not for another generation', async (t) => {
  const ledger = await createLedger(t)
  const key = { integration: 'amocrm', accountId: 2 }
  const generation = await ledger.addAccount(key, 3600)
  t.equal(await claimAccount(ledger.claimant, key, generation, 'waiting'), undefined)
  t.match(await whyNotClaimed(ledger.claimant, key, generation), { reason: 'not_due' })
  t.equal(await claimAccount(ledger.claimant, KEY, generation, 'waiting'), undefined)
  t.match(await whyNotClaimed(ledger.claimant, KEY, generation), { reason: 'moved_on' })
  t.match(await whyNotClaimed(ledger.claimant, { ...key, accountId: 3 }, 1), { reason: 'gone' })
})

t.test(
  'claim of what is due: the longest waiting first, within the pace, leaving one for who waits',
  async (t) => {
    const ledger = await createLedger(t)
    for (let id = 1; id <= 9; id += 1)
      await ledger.addAccount({ integration: 'amocrm', accountId: id }, -100 + id)
    await query(
      ledger.databaseUrl,
      `update amo_integrations set "pacePerSecond" = 0.001, "paceTokens" = 4, "paceAt" = now()`,
    )
    const claims = await claimDueAccounts(ledger.claimant, 'amocrm', 10)
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
      'select generation::int from amo_tokens where "accountId" = 9',
    )
    const key = { integration: 'amocrm', accountId: 9 }
    t.ok(await claimAccount(ledger.other, key, row?.generation, 'waiting'), 'who waits gets it')
    const [next] = await query(
      ledger.databaseUrl,
      'select generation::int from amo_tokens where "accountId" = 8',
    )
    t.equal(
      await claimAccount(ledger.other, { ...key, accountId: 8 }, next?.generation, 'waiting'),
      undefined,
    )
    t.match(await whyNotClaimed(ledger.other, { ...key, accountId: 8 }, next?.generation), {
      reason: 'paced',
    })
  },
)

t.test(
  'claims of what is due, from two processes at once: no account twice, never above the pace',
  async (t) => {
    const ledger = await createLedger(t)
    for (let id = 1; id <= 60; id += 1)
      await ledger.addAccount({ integration: 'amocrm', accountId: id }, -id)
    await query(
      ledger.databaseUrl,
      `update amo_integrations set "pacePerSecond" = 0.001, "paceTokens" = 4`,
    )
    const batches = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        claimDueAccounts(index % 2 ? ledger.claimant : ledger.other, 'amocrm', 10),
      ),
    )
    const ids = batches.flat().map(({ accountId }) => accountId)
    t.equal(new Set(ids).size, ids.length, 'no account twice')
    t.ok(ids.length >= 1 && ids.length <= 3, `${ids.length} of 3 tokens used`)
  },
)

t.test(
  'claims of what nobody reads: after what somebody reads, and never the last tokens',
  async (t) => {
    const ledger = await createLedger(t)
    for (let id = 1; id <= 6; id += 1)
      await ledger.addAccount({ integration: 'amocrm', accountId: id }, -id)
    await query(
      ledger.databaseUrl,
      `update amo_integrations set "pacePerSecond" = 0.001, "paceTokens" = 4`,
    )
    // Monthly, and overdue for longer than all others; one of them has failed, which says nothing of its readers.
    await query(
      ledger.databaseUrl,
      `update amo_tokens set "refreshAt" = now() - interval '30 days', "nextAttemptAt" = now() - interval '1 day',
       "failedAttempts" = case when "accountId" = 1 then 3 else 0 end
     where "accountId" between 1 and 5`,
    )
    const claimed = async (lane: 'due' | 'idle') =>
      (await claimDueAccounts(ledger.claimant, 'amocrm', 10, lane))
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
  'claim: the token comes sealed from the locked row, and the disk is waited for',
  async (t) => {
    const ledger = await createLedger(t)
    await ledger.claimant.claims.transaction().execute(async (trx) => {
      await sql`set local synchronous_commit = off`.execute(trx)
      const [row] = await query(
        ledger.databaseUrl,
        'select generation::int, "refreshToken" from amo_tokens',
      )
      const claim = await claimAccount(
        { ...ledger.claimant, claims: trx },
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
  'claim: its token is the one of its generation, whatever is committed a moment later',
  async (t) => {
    const ledger = await createLedger(t)
    const { claimant, committer, other } = ledger
    const [row] = await query(ledger.databaseUrl, 'select generation::int from amo_tokens')
    // Another process refreshes the account after the first statement of the claim, and before any that may follow.
    let statements = 0
    const claims = claimant.claims.withPlugin({
      transformQuery: ({ node }) => node,
      async transformResult({ result }) {
        statements += 1
        if (statements > 1) return result
        await query(ledger.databaseUrl, `delete from amo_refresh_attempts`)
        const claim = await claimAccount(other, KEY, row?.generation, 'waiting')
        if (claim !== undefined) await commitAnswer(committer, ledger.answerFor(claim))
        return result
      },
    })
    const claim = await claimAccount({ ...claimant, claims }, KEY, row?.generation, 'waiting')
    if (claim === undefined) return t.bailout('not claimed')
    const [now] = await query(ledger.databaseUrl, 'select generation::int from amo_tokens')
    t.not(now?.generation, claim.generation, 'the row has moved on')
    const at = tokenAt(claim, 'refreshToken')
    t.match(ledger.config.keyRing.open(claim.refreshToken, at).reveal(), /^def502-/)
  },
)

t.test('send: written down before, fenced by owner, generation and fingerprint', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  t.equal(await recordSend(ledger.other, { ...claim }), false, 'not by another owner')
  t.equal(await recordSend(ledger.claimant, claim), true)
  t.equal(claim.sendCount, 1)
  await query(ledger.databaseUrl, `update amo_tokens set generation = nextval('amo_generation')`)
  t.equal(await recordSend(ledger.claimant, claim), false, 'not once the row has moved on')
})

t.test('send: not after the lease, nor in a tick that comes too late', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  t.equal(mayWrite(ledger.claimant, claim), true)
  claim.leaseEndsAtMs -= 10_000
  t.equal(mayWrite(ledger.claimant, claim), false, 'the rest no longer covers answer and commit')
  await query(
    ledger.databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 second'`,
  )
  t.equal(await recordSend(ledger.claimant, claim), false)
})

t.test('commit: the fence decides, not the owner and not the state of the attempt', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await recordSend(ledger.claimant, claim)
  t.equal(await condemn(ledger.claimant, claim, 'pair_lost', 'lost'), true)
  t.match(await rowOf(ledger), { status: 'reauth_required' })
  const answer = ledger.answerFor(claim)
  t.match(await commitAnswer(ledger.committer, answer), { result: 'committed' })
  t.match(await rowOf(ledger), { status: 'active', failedAttempts: 0, lastErrorCode: null })
  t.match(
    await commitAnswer(ledger.committer, answer),
    { result: 'already' },
    'again: its own commit',
  )
  t.match(await attemptsOf(ledger), [{ outcome: 'committed', parked: false }])
})

t.test('commit: an account that was never approved is revived as pending', async (t) => {
  const ledger = await createLedger(t)
  await query(ledger.databaseUrl, `update amo_tokens set status = 'pending', "approvedAt" = null`)
  const claim = await claimOf(t, ledger)
  await condemn(ledger.claimant, claim, 'pair_lost', 'lost')
  await commitAnswer(ledger.committer, ledger.answerFor(claim))
  t.match(await rowOf(ledger), { status: 'pending' })
})

t.test('commit: an operator’s removal is not undone', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await query(ledger.databaseUrl, `update amo_tokens set status = 'disconnected'`)
  await commitAnswer(ledger.committer, ledger.answerFor(claim))
  t.match(await rowOf(ledger), { status: 'disconnected' })
})

t.test(
  'commit: the loser of two is parked, never dropped, never put over the newer one',
  async (t) => {
    const ledger = await createLedger(t)
    const claim = await claimOf(t, ledger)
    const late = ledger.answerFor(claim)
    await commitAnswer(ledger.committer, ledger.answerFor(claim))
    const winner = await rowOf(ledger)
    // What a stopped process brings whose attempt somebody else finished meanwhile.
    await query(ledger.databaseUrl, `update amo_refresh_attempts set outcome = 'lost'`)
    t.match(await commitAnswer(ledger.committer, late), { result: 'parked' })
    t.same(await rowOf(ledger), winner)
    t.same((await attemptsOf(ledger)).at(-1), { outcome: 'superseded', parked: true })
    t.match(
      await commitAnswer(ledger.committer, late),
      { result: 'parked' },
      'again, as after a lost acknowledgement',
    )
    const { length } = (await attemptsOf(ledger)).filter(({ parked }) => parked)
    t.equal(length, 1, 'parked once')
  },
)

t.test('commit: fenced by the fingerprint as well as by the generation', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await query(
    ledger.databaseUrl,
    `update amo_tokens set "refreshTokenFingerprint" = 'onboarded again'`,
  )
  t.match(await commitAnswer(ledger.committer, ledger.answerFor(claim)), { result: 'parked' })
})

t.test('commit: fenced by the generation as well as by the fingerprint', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await query(ledger.databaseUrl, `update amo_tokens set generation = nextval('amo_generation')`)
  t.match(await commitAnswer(ledger.committer, ledger.answerFor(claim)), { result: 'parked' })
})

t.test(
  'commit: its own is recognised by the row, also when the ledger has forgotten it',
  async (t) => {
    const ledger = await createLedger(t)
    const answer = ledger.answerFor(await claimOf(t, ledger))
    await commitAnswer(ledger.committer, answer)
    await query(ledger.databaseUrl, 'truncate amo_refresh_attempts')
    t.match(await commitAnswer(ledger.committer, answer), { result: 'already' })
    t.same(await attemptsOf(ledger), [], 'nothing is parked')
  },
)

t.test('commit: an account that is gone parks the pair', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await query(ledger.databaseUrl, `delete from amo_tokens`)
  t.match(await commitAnswer(ledger.committer, ledger.answerFor(claim)), { result: 'parked' })
  t.match(await attemptsOf(ledger), [{ outcome: 'superseded', parked: true }])
})

t.test('hold back: the account waits, longer every time, and its claim is free', async (t) => {
  const ledger = await createLedger(t)
  await holdBack(ledger.claimant, await claimOf(t, ledger), 'rate_limited', 'refused', 30)
  t.match(await rowOf(ledger), { failedAttempts: 1, lastErrorCode: 'rate_limited', isLater: true })
  const [row] = await query(
    ledger.databaseUrl,
    `select extract(epoch from "nextAttemptAt" - now())::float8 as seconds from amo_tokens`,
  )
  t.ok(row?.seconds > 20 && row?.seconds < 40, `Retry-After is kept: ${row?.seconds} s`)
  await query(
    ledger.databaseUrl,
    `update amo_tokens set "nextAttemptAt" = now(), "failedAttempts" = 50`,
  )
  await holdBack(ledger.claimant, await claimOf(t, ledger), 'blocked', 'refused')
  t.match(await rowOf(ledger), { failedAttempts: 51, lastErrorCode: 'blocked' }, 'no overflow')
})

t.test('condemn: by the owner alone, and of the pair that is still current', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  t.equal(await condemn(ledger.other, claim, 'token_revoked', 'refused'), false, 'not by another')
  await commitAnswer(ledger.committer, ledger.answerFor(claim))
  t.equal(
    await condemn(ledger.claimant, claim, 'token_revoked', 'refused'),
    false,
    'not after a commit',
  )
  t.match(await rowOf(ledger), { status: 'active' })
})

t.test('give back: only what was never sent', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await recordSend(ledger.claimant, claim)
  await giveBack(ledger.claimant, claim)
  t.match(await attemptsOf(ledger), [{ outcome: null }])
})

t.test('take-over: after the lease, and what was sent only after the settle time', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  t.same(await takeOverClaims(ledger.other, 10), [], 'not while the lease holds')
  await recordSend(ledger.claimant, claim)
  await handOver(ledger.claimant, claim, 'no_answer')
  t.same(await takeOverClaims(ledger.other, 10), [], 'not before the settle time')
  await query(
    ledger.databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '61 seconds'`,
  )
  const [taken] = await takeOverClaims(ledger.other, 10)
  t.match(taken, { attemptId: claim.attemptId, sendCount: 1, refreshToken: claim.refreshToken })
  t.equal(await recordSend(ledger.claimant, claim), false, 'the old owner sends no more')
  t.equal(taken && (await recordSend(ledger.other, taken)), true)
})

t.test(
  'take-over: of a sent claim whose row has moved on: nothing is sent for the new pair',
  async (t) => {
    const ledger = await createLedger(t)
    const claim = await claimOf(t, ledger)
    await recordSend(ledger.claimant, claim)
    const over = `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`
    await query(ledger.databaseUrl, over)
    await query(ledger.databaseUrl, NEW_PAIR)
    t.same(await takeOverClaims(ledger.other, 10), [])
    t.match(await attemptsOf(ledger), [{ outcome: 'superseded' }])
  },
)

t.test('take-over: of a claim whose row moves on meanwhile: nothing is taken', async (t) => {
  const ledger = await createLedger(t)
  await recordSend(ledger.claimant, await claimOf(t, ledger))
  const over = `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`
  await query(ledger.databaseUrl, over)
  // Committed after the look for rows that have moved on, and before the take-over itself.
  let statements = 0
  const claims = ledger.other.claims.withPlugin({
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      statements += 1
      if (statements === 2) await query(ledger.databaseUrl, MOVED_ON)
      return result
    },
  })
  t.same(await takeOverClaims({ ...ledger.other, claims }, 10), [])
})

t.test(
  'take-over: by the process itself, which was stopped: its first flight does nothing more',
  async (t) => {
    const ledger = await createLedger(t)
    const { claimant } = ledger
    const first = await claimOf(t, ledger)
    await recordSend(claimant, first)
    await query(
      ledger.databaseUrl,
      `update amo_refresh_attempts set "leaseUntil" = now() - interval '61 seconds'`,
    )
    const [second] = await takeOverClaims(claimant, 10)
    t.equal(second && (await recordSend(claimant, second)), true)
    t.equal(await recordSend(claimant, first), false, 'sends no more')
    t.equal(await condemn(claimant, first, 'pair_lost', 'lost'), false, 'condemns nobody')
    await handOver(claimant, first, 'no_answer')
    await holdBack(claimant, first, 'blocked', 'refused')
    await giveBack(claimant, first, true)
    t.match(await rowOf(ledger), { status: 'active', failedAttempts: 0, lastErrorCode: null })
    t.match(await attemptsOf(ledger), [{ outcome: null }], 'the second flight goes on')
    t.equal(second && (await recordSend(claimant, second)), true, 'under a lease that holds')
  },
)

t.test(
  'take-over: of another deployment’s database: nothing, its ledger stays as it is',
  async (t) => {
    const ledger = await createLedger(t)
    await recordSend(ledger.claimant, await claimOf(t, ledger))
    await query(
      ledger.databaseUrl,
      `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`,
    )
    await query(ledger.databaseUrl, `update amo_deployment set "deploymentId" = 'elsewhere'`)
    t.same(await takeOverClaims(ledger.other, 10), [])
    await query(ledger.databaseUrl, NEW_PAIR)
    await takeOverClaims(ledger.other, 10)
    t.match(await attemptsOf(ledger), [{ outcome: null }])
  },
)

t.test('take-over: of a claim whose row has moved on: superseded, nothing is sent', async (t) => {
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
  t.same(await takeOverClaims(ledger.other, 10), [])
  t.match(await attemptsOf(ledger), [{ outcome: 'superseded' }])
})

t.test(
  'condemn, hold back, hand over: refused to an owner whose claim is taken over meanwhile',
  async (t) => {
    // Judged by a snapshot from before the take-over, the old owner would condemn what the new one is about to refresh.
    const ends = {
      condemn: (ledger: Ledger, claim: Claim) =>
        condemn(ledger.claimant, claim, 'pair_lost', 'lost'),
      'hold back': (ledger: Ledger, claim: Claim) =>
        holdBack(ledger.claimant, claim, 'blocked', 'refused'),
      'hand over': (ledger: Ledger, claim: Claim) => handOver(ledger.claimant, claim, 'no_answer'),
    }
    for (const [title, end] of Object.entries(ends)) {
      const ledger = await createLedger(t)
      const claim = await claimOf(t, ledger)
      await recordSend(ledger.claimant, claim)
      await query(
        ledger.databaseUrl,
        `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`,
      )
      let ending: Promise<unknown> = Promise.resolve()
      await ledger.other.claims.transaction().execute(async (trx) => {
        const taken = await takeOverClaims({ ...ledger.other, claims: trx }, 10)
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

t.test('condemn: one that waits behind a commit condemns nobody', async (t) => {
  // R5: a look at the row and a statement after it would condemn the pair that came in between.
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await recordSend(ledger.claimant, claim)
  const holder = await holderOf(t, ledger, NEW_PAIR)
  const condemning = condemn(ledger.claimant, claim, 'pair_lost', 'lost')
  await isBlocked(ledger)
  await holder.query('commit')
  t.equal(await condemning, false)
  t.match(await rowOf(ledger), { status: 'active', lastErrorCode: null })
})

t.test('condemn: an account that nobody may use any more only ends its attempt', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  await query(ledger.databaseUrl, `update amo_tokens set status = 'disconnected'`)
  t.equal(await condemn(ledger.claimant, claim, 'token_revoked', 'refused'), false)
  t.match(await rowOf(ledger), { status: 'disconnected' })
  t.match(await attemptsOf(ledger), [{ outcome: 'refused' }])
})

t.test('the ledger: an answer of a lost commit touches no other account’s attempt', async (t) => {
  const ledger = await createLedger(t)
  const answer = ledger.answerFor(await claimOf(t, ledger))
  // As after a failover that forgot the newest rows: the id is given out again, to another account.
  await query(ledger.databaseUrl, 'truncate amo_refresh_attempts restart identity')
  const other = { integration: 'amocrm', accountId: 2 }
  const generation = await ledger.addAccount(other, -1)
  const claim = await claimAccount(ledger.other, other, generation, 'waiting')
  t.equal(claim?.attemptId, answer.attemptId, 'the same id')
  t.match(await commitAnswer(ledger.committer, answer), { result: 'committed' })
  t.match(await attemptsOf(ledger), [{ outcome: null }], 'the other account’s claim is under way')
})

t.test('two answers under one claim: both are kept, one current and one parked', async (t) => {
  const ledger = await createLedger(t)
  const claim = await claimOf(t, ledger)
  const first = ledger.answerFor(claim)
  const second = ledger.answerFor(claim)
  t.match(await commitAnswer(ledger.committer, first), { result: 'committed' })
  t.match(await commitAnswer(ledger.committer, second), { result: 'parked' })
  t.match(await commitAnswer(ledger.committer, first), { result: 'already' })
  t.same(await attemptsOf(ledger), [
    { outcome: 'committed', parked: false },
    { outcome: 'superseded', parked: true },
  ])
})
