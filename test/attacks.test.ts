import { Redis } from 'ioredis'
import t from 'tap'
import { signDisconnect } from '../src/sandbox/server-calls.ts'
import { CLIENT_ID, CLIENT_SECRET, connectAccount, until } from './support/broker.ts'
import { assertPresentedOnce, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask, makeClient } from './support/clients.ts'
import { query, redisUrl } from './support/database.ts'

const TWO = {
  accounts: [
    { platform: 'amocrm' as const, subdomain: 'demo' },
    { platform: 'amocrm' as const, subdomain: 'other' },
  ],
}

t.test('attacks', async (t) => {
  const stage = await startBrokerWithSandbox(t, { sandbox: TWO })
  const { broker, sandbox, databaseUrl } = stage
  const deploymentId = new URL(databaseUrl).pathname.slice(1)
  await connectAccount(broker, 'other')
  const idOf = async (domain: string) =>
    Number((await broker.get(`/accounts/${domain}`)).body.account_id)
  const [demo, other] = [await idOf('demo'), await idOf('other')]
  const key = await makeClient(broker, 'shop', 'reader', [
    { integration: 'amocrm', account: 'demo' },
  ])
  const as = (who: string, path: string) =>
    ask(broker.url, 'GET', path, { authorization: `Bearer ${who}` })
  const change = (statement: string, ...values: unknown[]) => query(databaseUrl, statement, values)

  await t.test('a domain that a granted account left and another account registered', async (t) => {
    t.equal((await as(key, '/tokens/demo.amocrm.ru')).status, 200)
    await change(`update amo_tokens set domain = 'moved.amocrm.ru' where "accountId" = $1`, demo)
    await change(`update amo_tokens set domain = 'demo.amocrm.ru' where "accountId" = $1`, other)
    await until(async () => (await broker.get('/tokens/demo')).body.account_id === other)
    for (const name of ['demo', 'demo.amocrm.ru', other]) {
      t.match(await as(key, `/tokens/${name}`), { status: 403, body: { code: 'forbidden' } })
    }
    t.match(await as(key, '/tokens/moved'), { status: 200, body: { account_id: demo } })
  })

  await t.test('a subdomain that looks like an account id', async (t) => {
    await change(
      `update amo_tokens set domain = $2 where "accountId" = $1`,
      other,
      `${demo}.amocrm.ru`,
    )
    const stranger = await makeClient(broker, 'stranger', 'reader', [
      { integration: 'amocrm', account: String(other) },
    ])
    await until(async () => (await broker.get(`/tokens/${demo}.amocrm.ru`)).status === 200)
    t.match(await broker.get(`/tokens/${demo}`), { body: { account_id: demo } }, 'digits are an id')
    t.equal((await as(stranger, `/tokens/${demo}`)).status, 403)
    t.match(await as(stranger, `/tokens/${demo}.amocrm.ru`), {
      status: 200,
      body: { account_id: other },
    })
  })

  await t.test(
    'a sealed value copied to another row cannot be decrypted and is not sent',
    async (t) => {
      const presented = () => sandbox.world.books.totals.presentedAgain
      await change(
        `update amo_tokens t set "accessToken" = d."accessToken", "refreshToken" = d."refreshToken",
         "nextAttemptAt" = now(), "refreshAt" = now(), generation = nextval('amo_generation')
       from amo_tokens d where d."accountId" = $1 and t."accountId" = $2`,
        demo,
        other,
      )
      await until(async () => (await broker.get(`/tokens/${other}`)).status !== 200)
      const answer = await broker.get(`/tokens/${other}`)
      t.ok(answer.status === 500 || answer.status === 503, String(answer.status))
      const { access_token } = (await broker.get(`/tokens/${demo}`)).body
      t.notOk(JSON.stringify(answer.body).includes(access_token))
      await until(() => /refresh broke off/.test(broker.log()))
      t.equal(presented(), 0)
      t.equal(sandbox.world.books.totals.refreshes, 0, 'the token of the other row was not sent')
      await change(`delete from amo_tokens where "accountId" = $1`, other)
    },
  )

  // The provider knows the account's real domain, so the account is named by its id from here on.
  const account = `/tokens/${demo}`
  await t.test('an intruder who writes to Redis can only cause delays', async (t) => {
    const redis = new Redis(redisUrl())
    t.teardown(() => redis.disconnect())
    const { generation: old } = (await broker.get(account)).body
    await stage.makeDue(demo)
    await until(async () => (await broker.get(account)).body.generation > old, 30_000)
    const kept = `{amo:${deploymentId}:kept}`
    const [[name = '', sealed = ''] = []] = Object.entries(
      await redis.hgetall(`${kept}:amocrm/${demo}`),
    )
    t.match(name, /^refresh~amocrm~/)
    const generation = (await broker.get(account)).body.generation
    for (const forged of [`refresh~amocrm~${demo}~${generation}~999999`, `refresh~amocrm~1~1~1`]) {
      const [, , forgedAccount] = forged.split('~')
      for (const value of [sealed, 'nonsense', '{"body":"x"}', '']) {
        await redis.hset(`${kept}:amocrm/${forgedAccount}`, forged, value)
        await redis.sadd(`${kept}-open`, forged, 'nonsense', 'refresh~x')
        await redis.set(`amo:${deploymentId}:refresh:amocrm/${demo}`, 'intruder', 'PX', 2_000)
        const before = (await broker.get(account)).body.generation
        await stage.makeDue(demo)
        await until(async () => (await broker.get(account)).body.generation > before, 30_000)
      }
    }
    await redis.set(`amo:${deploymentId}:guesses:127.0.0.1`, 1_000_000, 'PX', 60_000)
    t.equal((await as(key, account)).status, 200, 'a valid key is not refused')
    await redis.del(`amo:${deploymentId}:guesses:127.0.0.1`)
    const { access_token } = (await broker.get(account)).body
    t.equal(sandbox.world.grants.findAccess(access_token)?.state, 'live')
    assertPresentedOnce(t, stage)
  })

  await t.test(
    'a replayed hook costs at most one check per minute and disconnects no account',
    async (t) => {
      const signature = signDisconnect(CLIENT_SECRET, CLIENT_ID, demo)
      const path = `/hooks/disconnect?account_id=${demo}&client_uuid=${CLIENT_ID}&signature=${signature}`
      for (let replay = 0; replay < 100; replay += 1) {
        t.equal((await ask(broker.publicUrl, 'GET', path)).status, 200)
        if (replay % 10 === 0) t.equal((await as(key, account)).status, 200)
      }
      // Simulates a day: the finished hooks become a day old.
      await change(
        `update amo_inbox set "receivedAt" = "receivedAt" - interval '1 day' where kind = 'disconnect'`,
      )
      t.equal((await ask(broker.publicUrl, 'GET', path)).status, 200)
      const hooks = () =>
        query(databaseUrl, `select outcome from amo_inbox where kind = 'disconnect'`)
      await until(async () => (await hooks()).every(({ outcome }) => outcome !== null), 30_000)
      const judged = await hooks()
      t.ok(judged.length <= 3, `${judged.length} looks`)
      for (const { outcome } of judged) t.equal(outcome, 'still_connected')
      t.equal((await as(key, account)).status, 200)
      const forged = path.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
      t.equal((await ask(broker.publicUrl, 'GET', forged)).status, 403)
    },
  )
})
