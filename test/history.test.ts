import { pino } from 'pino'
import t, { type Test } from 'tap'
import { openPostgres } from '../src/db/postgres.ts'
import { DailyHistoryCheck } from '../src/history/daily-check.ts'
import { RULES, type Rule } from '../src/history/finding.ts'
import { type HistoryReport, verifyHistory } from '../src/history/verify-history.ts'
import { Secret } from '../src/vault/secret.ts'
import {
  deploymentOf,
  ENCRYPTION_KEYS,
  OPERATOR_KEY,
  startBroker,
  until,
} from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { runCli } from './support/cli.ts'
import { copyDatabase, createDatabase, query } from './support/database.ts'
import { underLoad } from './support/under-load.ts'

const FAST = { SEND_LIMIT_MS: String(underLoad(500)), SETTLE_MS: '100' }

const verify = (databaseUrl: string, ...args: string[]) =>
  runCli(['history', 'verify', ...args], {
    ENCRYPTION_KEYS,
    OPERATOR_KEY,
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: deploymentOf(databaseUrl),
  })

/** Verifies a history in this process, which is faster than a command. */
async function reportOf(databaseUrl: string): Promise<HistoryReport> {
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  try {
    return await database.withDirect((db) => verifyHistory(db, { attemptDays: 30 }))
  } finally {
    await database.close()
  }
}

/** Returns the attempts that sent something, the oldest first. */
async function sentAttempts(databaseUrl: string): Promise<number[]> {
  const rows = await query(
    databaseUrl,
    'select id from amo_refresh_attempts where "sendCount" > 0 order by id',
  )
  return rows.map(({ id }) => Number(id))
}

/**
 * Leaves three attempts: an ordinary one, one that was sent twice because a probe said "alive", and
 * one whose pair was lost.
 */
async function makeHistory(t: Test): Promise<string> {
  const stage = await startBrokerWithSandbox(t, { env: FAST })
  const { faults } = stage.sandbox.world
  const ended = (count: number) =>
    until(async () => {
      const attempts = await stage.attempts()
      return attempts.filter(({ outcome }) => outcome !== null).length >= count
    }, 40_000)
  await stage.makeDue()
  await ended(1)
  faults.set([{ fault: 'drop_before_spend', endpoint: 'token', times: 1 }])
  await stage.makeDue()
  await ended(2)
  faults.set([{ fault: 'bad_gateway_after_spend', endpoint: 'token', times: 1 }])
  await stage.makeDue()
  await until(async () => (await stage.row()).status === 'reauth_required', 40_000)
  await stage.broker.stop('SIGTERM')
  return stage.databaseUrl
}

/** A change of the history, by somebody who has only SQL. */
const FORGERIES: [title: string, Rule, change: (ids: number[]) => string][] = [
  [
    'sent by a process that had not claimed',
    'send_without_claim',
    ([first]) => `update amo_refresh_attempts
      set steps = jsonb_set(steps, '{1,owner}', '"another"') where id = ${first}`,
  ],
  [
    'sent under a claim for a probe',
    'send_without_claim',
    ([first]) => `update amo_refresh_attempts set purpose = 'verdict' where id = ${first}`,
  ],
  [
    'sent after the end',
    'send_without_claim',
    ([first]) => `update amo_refresh_attempts
      set steps = jsonb_build_array(steps -> 0, steps -> 2, steps -> 1) where id = ${first}`,
  ],
  [
    'a pair came back, and no send is on record',
    'send_not_recorded',
    ([first]) => `update amo_refresh_attempts
      set steps = steps - 1, "sendCount" = 0, "sentAt" = null where id = ${first}`,
  ],
  [
    'more sends are counted than are on record',
    'send_not_recorded',
    ([first]) => `update amo_refresh_attempts set "sendCount" = 2 where id = ${first}`,
  ],
  [
    'sent again under the same claim, without a probe',
    'sent_again',
    ([, second]) => `update amo_refresh_attempts
      set steps = replace(steps::text, 'after_probe', 'unproved')::jsonb where id = ${second}`,
  ],
  [
    'sent again under the next claim, though the first response was lost',
    'sent_again',
    ([, , third]) => `insert into amo_refresh_attempts (integration, "accountId", generation,
        "refreshTokenFingerprint", owner, "leaseUntil", "sendCount", "claimedAt", "finishedAt", outcome,
        "outcomeCode", steps)
      select integration, "accountId", generation, "refreshTokenFingerprint", owner, now(), 1, now(),
        now(), 'refused', 'too_many_requests', amo_add_step(amo_add_step('[]', 'claimed', owner, null), 'sent',
        owner, 'first')
      from amo_refresh_attempts where id = ${third}`,
  ],
  [
    'two claims at once',
    'claims_overlap',
    ([first, second]) => `update amo_refresh_attempts a
      set "claimedAt" = b."finishedAt" - interval '1 ms'
      from amo_refresh_attempts b where a.id = ${second} and b.id = ${first}`,
  ],
  [
    'claimed for a pair that was replaced',
    'generation_order',
    ([first, second]) => `update amo_refresh_attempts a set generation = b.generation
      from amo_refresh_attempts b where a.id = ${second} and b.id = ${first}`,
  ],
  [
    'the row is back at an older pair',
    'generation_order',
    ([first]) => `update amo_tokens t set generation = a.generation
      from amo_refresh_attempts a where a.id = ${first}`,
  ],
  [
    'one generation for two accounts',
    'generation_reused',
    ([first]) => `insert into amo_refresh_attempts (integration, "accountId", generation,
        "refreshTokenFingerprint", owner, "leaseUntil", "finishedAt", outcome, steps)
      select integration, 1, generation, 'another', owner, now(), now(), 'not_sent', '[]'
      from amo_refresh_attempts where id = ${first}`,
  ],
  [
    'reauth_required without a probe',
    'reauth_without_probe',
    ([, , third]) => `update amo_refresh_attempts
      set steps = replace(steps::text, '"dead"', '"none"')::jsonb where id = ${third}`,
  ],
  [
    'reauth_required although the probe said alive',
    'reauth_without_probe',
    ([, , third]) => `update amo_refresh_attempts
      set steps = replace(steps::text, '"dead"', '"alive"')::jsonb where id = ${third}`,
  ],
  [
    'reauth_required, and no attempt led to it',
    'reauth_without_probe',
    ([, , third]) => `delete from amo_refresh_attempts where id = ${third}`,
  ],
]

/** Changes that leave a history which keeps the rules. */
const HARMLESS: [title: string, change: (ids: number[]) => string][] = [
  [
    'steps of a version that named no probe',
    () => `update amo_refresh_attempts set steps = (
      select jsonb_agg(case when step ->> 'kind' = 'sent' then step - 'result' else step end order by nth)
      from jsonb_array_elements(steps) with ordinality each(step, nth) where step ->> 'kind' <> 'probed')`,
  ],
  [
    'an attempt with more steps than are stored',
    ([, second]) => `do $$ begin
      for n in 1..30 loop
        update amo_refresh_attempts set "sendCount" = "sendCount" + 1,
          steps = amo_add_step(amo_add_step(steps - -1, 'reclaimed', n::text, null), 'sent', n::text, 'after_probe')
            || (steps -> -1)
        where id = ${second};
      end loop;
    end $$`,
  ],
  ['a removed account', () => 'delete from amo_tokens'],
  [
    'an attempt that ended as superseded, just before the one that made it reauth_required',
    ([, , third]) => `with later as (
        insert into amo_refresh_attempts (integration, "accountId", generation,
          "refreshTokenFingerprint", owner, "leaseUntil", "sendCount", "sentAt", "claimedAt",
          "finishedAt", outcome, "outcomeCode", steps)
        select integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil",
          "sendCount", "sentAt", "claimedAt", "finishedAt", outcome, "outcomeCode", steps
        from amo_refresh_attempts where id = ${third}
      ) update amo_refresh_attempts set "sendCount" = 0, "sentAt" = null, "finishedAt" = "claimedAt",
        outcome = 'superseded', "outcomeCode" = null, steps = jsonb_build_array(steps -> 0,
          (steps -> -1) || '{"kind": "probed", "result": "alive"}',
          (steps -> -1) || '{"result": "superseded"}')
      where id = ${third}`,
  ],
  [
    'an old pair that an operator imported again',
    ([, , third]) => `with imported as (
        insert into amo_audit (actor, action, integration, "accountId", outcome)
        select 'operator', 'importAccount', integration, "accountId", 'replaced'
        from amo_refresh_attempts where id = ${third}
      ), used as (
        insert into amo_refresh_attempts (integration, "accountId", generation,
          "refreshTokenFingerprint", owner, "leaseUntil", "sendCount", "claimedAt", steps)
        select integration, "accountId", nextval('amo_generation'), "refreshTokenFingerprint", 'a', now(),
          1, now(), amo_add_step(amo_add_step('[]', 'claimed', 'a', null), 'sent', 'a', 'first')
        from amo_refresh_attempts where id = ${third} returning generation
      ) update amo_tokens set generation = used.generation from used`,
  ],
]

t.test('history verify: accepts what brokers leave, and each rule fires', async (t) => {
  const databaseUrl = await makeHistory(t)
  const ids = await sentAttempts(databaseUrl)
  t.equal(ids.length, 3)
  const whole = await verify(databaseUrl)
  t.equal(whole.code, 0, whole.out + whole.err)
  t.match(whole.out, /attempts of 1 accounts[\s\S]*every rule holds/)

  const fired = new Set<string>()
  for (const [title, rule, change] of FORGERIES) {
    const forged = await copyDatabase(t, databaseUrl)
    await query(forged, change(ids))
    const { violations, findings } = await reportOf(forged)
    t.ok(violations > 0, title)
    const finding = findings.find((each) => each.rule === rule)
    t.match(finding, { integration: 'amocrm', accountId: Number, at: Date }, title)
    fired.add(rule)
  }
  t.same([...fired].toSorted(), Object.keys(RULES).toSorted(), 'every rule has a forgery')

  for (const [title, change] of HARMLESS) {
    const changed = await copyDatabase(t, databaseUrl)
    await query(changed, change(ids))
    t.match(await reportOf(changed), { violations: 0, findings: [] }, title)
  }

  const forged = await copyDatabase(t, databaseUrl)
  await query(forged, `update amo_refresh_attempts set "sendCount" = 7 where id = ${ids[0]}`)
  const { code, out } = await verify(forged)
  t.equal(code, 1)
  t.match(out, /send_not_recorded: .*\n.*ATTEMPT[\s\S]*7 sends counted[\s\S]*→[\s\S]*1 violations/)
  const { broken, remedy } = RULES.send_not_recorded
  const json = await verify(forged, '--json')
  t.equal(json.code, 1)
  t.match(JSON.parse(json.out), {
    violations: 1,
    findings: [{ rule: 'send_not_recorded', broken, remedy, account_id: Number, attempt: ids[0] }],
  })
})

t.test('the daily check: by one replica, and every replica shows the result', async (t) => {
  const databaseUrl = await createDatabase(t)
  await query(
    databaseUrl,
    `insert into amo_refresh_attempts (integration, "accountId", generation, "refreshTokenFingerprint",
       owner, "leaseUntil", "finishedAt", outcome, "sendCount", steps)
     values ('amocrm', 1, 1, 'f', 'a', now(), now(), 'not_sent', 1, amo_add_step('[]', 'claimed', 'a', null))`,
  )
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) })
  const replicas = [1, 2].map(() => {
    const url = new Secret(databaseUrl)
    const database = openPostgres(url, url, pino({ level: 'silent' }))
    t.teardown(() => database.close())
    return new DailyHistoryCheck({ database, attemptDays: 30, log })
  })
  const runAll = () => Promise.all(replicas.map((replica) => replica.run()))
  await runAll()
  t.same(lines, [], 'the first one is due a day after the migration')
  t.match(replicas[0]?.result, { violations: 0 })
  await query(databaseUrl, `update amo_history_check set "startedAt" = now() - interval '25 hours'`)
  await runAll()
  await runAll()
  t.match(
    lines.map((line) => JSON.parse(line)),
    [
      { msg: 'history rule broken', rule: 'send_not_recorded', account: 'amocrm/1', level: 50 },
      { msg: 'history verified', violations: 1, attempts: 1, level: 50 },
    ],
  )
  t.equal(lines.length, 2, 'one replica, once')
  for (const { result } of replicas) t.match(result, { violations: 1 })

  const broker = await startBroker(t, { databaseUrl })
  const metrics = async () => (await fetch(`${broker.url}/metrics`)).text()
  await until(async () => (await metrics()).includes('\namo_history_violations 1\n'))
  t.match(await metrics(), /\namo_history_check_timestamp_seconds 1\d{9}/)
})

t.test('verifyHistory reads a live database in one snapshot', async (t) => {
  const databaseUrl = await createDatabase(t)
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  await query(
    databaseUrl,
    `insert into amo_refresh_attempts (integration, "accountId", generation, "refreshTokenFingerprint", owner,
       "leaseUntil", "claimedAt", "finishedAt", outcome, steps)
     select 'amocrm', n % 100 + 1, n, 'f' || n, 'a', now(), at, at, 'not_sent',
       amo_add_step('[]', 'claimed', 'a', null)
     from generate_series(1, 5000) n, lateral (select now() - (6000 - n) * interval '1 s' as at) times`,
  )
  const progress: number[] = []
  const onProgress = (read: number, all: number) => {
    progress.push(read)
    t.equal(all, 5000)
    // Committed while the history is read: a claim that overlaps with the last one of its account.
    if (read === 1000)
      void query(
        databaseUrl,
        `insert into amo_refresh_attempts (integration, "accountId", generation, "refreshTokenFingerprint",
           owner, "leaseUntil", "claimedAt", steps)
         values ('amocrm', 100, 9999, 'x', 'a', now(), 'epoch', amo_add_step('[]', 'claimed', 'a', null))`,
      )
  }
  const report = await database.withDirect((db) =>
    verifyHistory(db, { attemptDays: 30, onProgress }),
  )
  t.match(report, { attempts: 5000, accounts: 100, violations: 0, findings: [] })
  t.same(progress, [1000, 2000, 3000, 4000, 5000], 'in portions')
})
