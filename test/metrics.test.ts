import t from 'tap'
import { until } from './support/broker.ts'
import { query } from './support/database.ts'
import { afterAttempt, setStage } from './support/stage.ts'

/** The value of a metric, labels included as they are printed. */
function metricIn(text: string, name: string): number | undefined {
  const line = text.split('\n').find((each) => each.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.split(' ').at(-1))
}

t.test('GET /metrics: open, tells what refreshes come to, and names no account', async (t) => {
  const stage = await setStage(t, { env: { SEND_LIMIT_MS: '500', SETTLE_MS: '100' } })
  const metrics = async () => (await fetch(`${stage.broker.url}/metrics`)).text()
  await stage.makeDue()
  await afterAttempt(stage, 1)
  const before = await metrics()
  t.equal(metricIn(before, 'amo_refreshes_total{integration="amocrm",end="committed"}'), 1)
  t.equal(metricIn(before, 'amo_refresh_token_reuse_suspected_total'), 0)
  t.equal(metricIn(before, 'amo_answer_keep_seconds_count'), 1)
  t.equal(metricIn(before, 'amo_refresh_due_age_seconds{integration="amocrm"}'), 0)
  t.equal(metricIn(before, 'amo_kept_answers_open'), 0)
  t.ok(Number(metricIn(before, 'amo_echo_age_seconds')) < 3)
  t.ok(Number(metricIn(before, 'amo_pace_used_ratio{integration="amocrm"}')) < 1)

  stage.sandbox.world.faults.set([{ fault: 'silent_after_spend', endpoint: 'token', times: 1 }])
  await stage.makeDue()
  await until(async () => (await stage.row()).status === 'reauth_required', 40_000)
  const after = await metrics()
  t.equal(metricIn(after, 'amo_refresh_takeovers_total'), 1)
  t.equal(metricIn(after, 'amo_claims_unresolved'), 0)
  t.equal(metricIn(after, 'amo_accounts_condemned_total{integration="amocrm",code="pair_lost"}'), 1)
  await query(
    stage.databaseUrl,
    `update amo_tokens set "nextAttemptAt" = now() - interval '1 hour'`,
  )
  const { accountId } = await stage.row()
  t.notMatch(after, new RegExp(`demo|${accountId}`), 'no account is named')
})
