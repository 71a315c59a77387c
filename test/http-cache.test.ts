import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Agent, interceptors, request } from 'undici'
import { until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { makeClient } from './support/clients.ts'

t.test('an HTTP cache in front of the broker keeps no token', async (t) => {
  const { broker } = await startBrokerWithSandbox(t)
  const grants = [{ integration: 'amocrm', account: 'demo' }]
  const shop = await makeClient(broker, 'shop', 'reader', grants)
  for (const type of ['private', 'shared'] as const) {
    const dispatcher = new Agent().compose(interceptors.cache({ type }))
    t.teardown(() => dispatcher.close())
    const read = async (key: string, headers: Record<string, string> = {}) => {
      const {
        statusCode,
        headers: got,
        body,
      } = await request(`${broker.url}/tokens/demo`, {
        headers: { authorization: `Bearer ${key}`, ...headers },
        dispatcher,
      })
      const text = await body.text()
      return { status: statusCode, etag: String(got.etag), body: text ? JSON.parse(text) : {} }
    }

    await t.test(`${type}: the token is served to no other key`, async (t) => {
      t.equal((await read(shop)).status, 200)
      t.equal((await read(shop.replace(/.$/, (end) => (end === 'A' ? 'B' : 'A')))).status, 401)
    })

    await t.test(`${type}: a response is new each second`, async (t) => {
      const first = await read(shop)
      await delay(1_100)
      t.ok((await read(shop)).body.expires_in < first.body.expires_in)
    })

    await t.test(`${type}: a rotated token is not served again`, async (t) => {
      const { body: before } = await read(shop)
      const forced = await broker.post('/tokens/demo/refresh', { force: true })
      t.equal(forced.status, 200, JSON.stringify(forced.body))
      await until(async () => (await read(shop)).body.generation > before.generation)
    })

    await t.test(`${type}: If-None-Match works, for a key that may read`, async (t) => {
      const { etag } = await read(shop)
      t.equal((await read(shop, { 'if-none-match': etag })).status, 304)
      t.equal((await read(shop, { 'if-none-match': '"other"' })).status, 200)
      t.equal((await read('amo_rd_wrong', { 'if-none-match': etag })).status, 401)
      const other = await makeClient(broker, `other-${type}`, 'reader')
      t.equal((await read(other, { 'if-none-match': etag })).status, 403)
    })
  }
})
