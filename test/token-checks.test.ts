import t from 'tap'
import { until } from './support/broker.ts'
import {
  assertPresentedOnce,
  type BrokerWithSandbox,
  startBrokerWithSandbox,
} from './support/broker-with-sandbox.ts'
import { query } from './support/database.ts'
import { setProfile } from './support/integrations.ts'

const ENV = { CHECK_INTERVAL_MINUTES: '1' }

/** Revokes the integration in the account, as its administrator can. */
function revoke({ sandbox }: BrokerWithSandbox): void {
  const account = sandbox.world.directory.findAccount('demo', 'amocrm')
  if (account === undefined) throw new Error('no account')
  sandbox.world.grants.revoke(account)
}

const setProbe = ({ databaseUrl }: BrokerWithSandbox, probe: 'weak' | 'strong') =>
  setProfile(databaseUrl, { probe })

/** Makes the account due for a check, as if time had passed. */
const age = ({ databaseUrl }: BrokerWithSandbox) =>
  query(
    databaseUrl,
    `update amo_tokens set "createdAt" = "createdAt" - interval '1 hour',
       "checkedAt" = "checkedAt" - interval '1 hour', "suspectAt" = "suspectAt" - interval '61 seconds'`,
  )

t.test('an integration that was revoked in the account: noticed by two checks', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: ENV })
  await setProbe(stage, 'strong')
  const { totals } = stage.sandbox.world.books
  const { tokenCalls } = totals
  await age(stage)
  await until(async () => (await stage.row()).checkedAt !== null)
  t.match(await stage.row(), { suspectAt: null, status: 'active' }, 'a good token is no suspect')
  revoke(stage)
  await age(stage)
  await until(async () => (await stage.row()).suspectAt !== null, 20_000)
  t.match(await stage.row(), { status: 'active' }, 'one look is not believed')
  await age(stage)
  await until(async () => (await stage.row()).status === 'reauth_required', 20_000)
  t.match(await stage.row(), { lastErrorCode: 'grant_revoked' })
  t.equal(stage.sandbox.world.books.totals.tokenCalls, tokenCalls, 'nothing was spent')
  const { body } = await stage.broker.get('/metrics')
  t.match(body, /amo_token_check_interval_seconds\{integration="amocrm"\} \d/)
  assertPresentedOnce(t, stage)
})

t.test('a weak probe never makes an account reauth_required at a check', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: ENV })
  revoke(stage)
  for (let look = 0; look < 3; look += 1) {
    const checks = stage.broker.log().split('access token refused at a check').length
    await age(stage)
    await query(
      stage.databaseUrl,
      `update amo_tokens set "suspectAt" = now() - interval '2 minutes'`,
    )
    await until(
      () => stage.broker.log().split('access token refused at a check').length > checks,
      20_000,
    )
  }
  t.match(await stage.row(), { status: 'active', suspectAt: null })
})

t.test('CHECK_INTERVAL_MINUTES=0: nothing is checked', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: { CHECK_INTERVAL_MINUTES: '0' } })
  await age(stage)
  await stage.makeDue()
  await until(async () => Number((await stage.row()).generation) > stage.connectedAs)
  t.match(await stage.row(), { checkedAt: null })
})

t.test('no account at its host, and a dead token: reauth_required', async (t) => {
  for (const status of [404, 301]) {
    const stage = await startBrokerWithSandbox(t)
    // The fault replaces a success, so the token is dead afterwards.
    stage.sandbox.world.faults.set([{ fault: 'body', endpoint: 'token', status, body: '{}' }])
    await stage.makeDue()
    await until(async () => (await stage.row()).status === 'reauth_required', 20_000)
    t.match(await stage.row(), { lastErrorCode: 'account_gone' }, `${status}`)
    const { body } = await stage.broker.get('/accounts/demo')
    t.match(body.last_error, { problem: /no account at its host/i, remedy: /new connect link/ })
  }
})

t.test('the provider wants to be paid: the token decides, and the text says so', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const fault = { fault: 'body', endpoint: 'token', status: 402, body: '{}' } as const
  stage.sandbox.world.faults.set([fault])
  await stage.makeDue()
  await until(async () => (await stage.row()).status === 'reauth_required', 20_000)
  const { body } = await stage.broker.get('/accounts/demo')
  t.match(body.last_error, { code: 'account_unpaid', problem: /paid for/ })
})
