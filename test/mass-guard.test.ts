import t, { type Test } from 'tap'
import type { Claim } from '../src/claims/claim.ts'
import { claimAccount } from '../src/claims/claim-account.ts'
import { reclaimExpired } from '../src/claims/reclaim-expired.ts'
import { recordSend } from '../src/claims/record-send.ts'
import { requireReauth } from '../src/claims/require-reauth.ts'
import type { AccountKey } from '../src/lib/account-key.ts'
import { query } from './support/database.ts'
import { createLedger, KEY, type Ledger } from './support/engine.ts'
import { holdRowLock, untilBlocked } from './support/waits.ts'

/** Creates the accounts 1 … size, each claimed and sent. */
async function sent(t: Test, size: number): Promise<Ledger & { claims: Claim[] }> {
  const ledger = await createLedger(t)
  await query(
    ledger.databaseUrl,
    `update amo_integrations set "pacePerSecond" = 1000, "paceTokens" = 1000`,
  )
  const claims = []
  for (let accountId = 1; accountId <= size; accountId += 1) {
    const key = { integration: 'amocrm', accountId }
    const generation = await ledger.addAccount(key, -1)
    const claim = await claimAccount(ledger.claimContext, key, generation, 'waiting')
    if (claim === undefined) throw new Error(`account ${accountId} could not be claimed`)
    await recordSend(ledger.claimContext, claim)
    claims.push(claim)
  }
  return { ...ledger, claims }
}

const condemned = async ({ databaseUrl }: Ledger) =>
  (
    await query(
      databaseUrl,
      `select count(*)::int as n from amo_tokens where status = 'reauth_required'`,
    )
  )[0]?.n

const integrationOf = async ({ databaseUrl }: Ledger) =>
  (await query(databaseUrl, 'select state, "stateReason" as reason from amo_integrations'))[0]

const refuse = ({ claimContext }: Ledger, claim: Claim) =>
  requireReauth(claimContext, claim, 'token_revoked', 'refused')

t.test(
  'mass guard: three accounts become reauth_required, the fourth halts the integration',
  async (t) => {
    const ledger = await sent(t, 5)
    const results = []
    for (const claim of ledger.claims) results.push(await refuse(ledger, claim))
    t.same(results, [true, true, true, false, false])
    t.equal(await condemned(ledger), 3)
    t.match(await integrationOf(ledger), { state: 'halted', reason: /token_revoked/ })
    const open = await query(
      ledger.databaseUrl,
      `select outcome, "outcomeCode", "leaseUntil" <= now() as free from amo_refresh_attempts
     where "finishedAt" is null`,
    )
    const kept = { outcome: null, outcomeCode: 'token_revoked', free: true }
    t.same(open, [kept, kept], 'the claims of the others stay, to be resolved later')
    const [told] = await query(
      ledger.databaseUrl,
      `select status, "lastErrorCode" from amo_tokens where "accountId" = 4`,
    )
    t.same(told, { status: 'active', lastErrorCode: null }, 'and nobody is told')
  },
)

t.test('mass guard: several replicas at once, no more than three accounts', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const ledger = await sent(t, 12)
    // All of them wait for the integration's row. Each must see the count that the previous one
    // left.
    const { databaseUrl } = ledger
    const lock = await holdRowLock(t, databaseUrl, 'select from amo_integrations for update')
    const all = ledger.claims.map((claim) => refuse(ledger, claim))
    await untilBlocked(databaseUrl, 2)
    await lock.release()
    const results = await Promise.all(all)
    t.equal(results.filter((isDone) => isDone).length, 3)
    t.equal(await condemned(ledger), 3)
    t.match(await integrationOf(ledger), { state: 'halted' })
  }
})

t.test('mass guard: one percent of many accounts', async (t) => {
  const ledger = await sent(t, 7)
  await query(
    ledger.databaseUrl,
    `insert into amo_tokens (integration, "accountId", status, "accessToken", "refreshToken",
       "refreshTokenFingerprint", generation, "issuedAt", "expiresAt")
     select 'amocrm', 1000 + n, 'active', 'a', 'r', 'f' || n, 100000 + n, now(), now() + interval '1 hour'
     from generate_series(1, 500) n`,
  )
  const results = []
  for (const claim of ledger.claims) results.push(await refuse(ledger, claim))
  t.same(results, [true, true, true, true, true, true, false], '508 accounts: six')
})

t.test('mass guard: the window is ten minutes', async (t) => {
  const ledger = await sent(t, 7)
  const results = []
  for (const claim of ledger.claims.slice(0, 3)) results.push(await refuse(ledger, claim))
  await query(
    ledger.databaseUrl,
    `update amo_integrations set "condemnedAt" =
       array[now() - interval '11 minutes', now() - interval '11 minutes', now() - interval '9 minutes']`,
  )
  for (const claim of ledger.claims.slice(3, 6)) results.push(await refuse(ledger, claim))
  t.same(results, [true, true, true, true, true, false])
})

t.test('mass guard: an attempt that changes no account does not count', async (t) => {
  const ledger = await sent(t, 5)
  const [first] = ledger.claims as [Claim]
  for (let times = 0; times < 5; times += 1) {
    t.equal(await requireReauth(ledger.other, first, 'token_revoked', 'refused'), false)
  }
  const results = []
  for (const claim of ledger.claims) results.push(await refuse(ledger, claim))
  t.same(results, [true, true, true, false, false])
})

t.test('a paused or halted integration: no reauth_required and no reclaim', async (t) => {
  for (const state of ['paused', 'halted']) {
    const ledger = await sent(t, 2)
    const [first] = ledger.claims as [Claim]
    await query(ledger.databaseUrl, 'update amo_integrations set state = $1', [state])
    t.equal(await refuse(ledger, first), false)
    t.equal(await condemned(ledger), 0)
    await query(
      ledger.databaseUrl,
      `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`,
    )
    t.same(await reclaimExpired(ledger.other, 10), [], state)
    await query(ledger.databaseUrl, `update amo_integrations set state = 'running'`)
    t.equal((await reclaimExpired(ledger.other, 10)).length, 2, 'resumed')
  }
})

t.test('the window: no more sends in flight than the pace bucket holds', async (t) => {
  const ledger = await createLedger(t)
  const keys: { key: AccountKey; generation: number }[] = []
  for (let accountId = 1; accountId <= 8; accountId += 1) {
    const key = { integration: 'amocrm', accountId }
    keys.push({ key, generation: await ledger.addAccount(key, -1) })
  }
  const refill = `update amo_integrations set "pacePerSecond" = 2, "paceTokens" = 4, "paceAt" = now()`
  const claim = (index: number) => {
    const { key, generation } = keys[index] ?? { key: KEY, generation: 0 }
    return claimAccount(index % 2 ? ledger.other : ledger.claimContext, key, generation, 'waiting')
  }
  await query(ledger.databaseUrl, refill)
  for (const index of [0, 1]) t.ok(await claim(index))

  t.comment('four at once, which all wait for the integration’s row: there is room for two')
  const lock = await holdRowLock(t, ledger.databaseUrl, refill)
  const racing = [2, 3, 4, 5].map(claim)
  await untilBlocked(ledger.databaseUrl, racing.length)
  await lock.release()
  const granted = (await Promise.all(racing)).filter((each) => each !== undefined)
  t.equal(granted.length, 2)

  await query(ledger.databaseUrl, refill)
  t.equal(await claim(6), undefined, 'full, whatever the bucket holds')
  await query(
    ledger.databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() where id = (select min(id) from amo_refresh_attempts)`,
  )
  t.ok(await claim(6), 'one was let go, and one more may go')
})

t.test('reclaim: an attempt that was never sent is finished, not sent', async (t) => {
  const ledger = await createLedger(t)
  const key = { integration: 'amocrm', accountId: 7 }
  const generation = await ledger.addAccount(key, -1)
  await claimAccount(ledger.claimContext, key, generation, 'waiting')
  await query(
    ledger.databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 second'`,
  )
  t.same(await reclaimExpired(ledger.other, 10), [])
  const attempts = await query(ledger.databaseUrl, 'select outcome from amo_refresh_attempts')
  t.same(attempts, [{ outcome: 'not_sent' }])
  t.ok(await claimAccount(ledger.other, key, generation, 'waiting'), 'the account is free again')
})
