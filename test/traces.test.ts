import { randomBytes } from 'node:crypto'
import t from 'tap'
import { CLIENT_SECRET, ENCRYPTION_KEYS, OPERATOR_KEY, until } from './support/broker.ts'
import { afterAttempt, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask } from './support/clients.ts'
import { type ReceivedSpan, startOtlpReceiver } from './support/otlp-receiver.ts'

const SDK = './examples/otel/otel.mjs'
const TOKEN = /def502[0-9a-f]{16}|eyJ[\w-]{20,}/

/** Makes the header of a caller with a trace of its own. */
function newCaller(): { traceId: string; headers: Record<string, string> } {
  const traceId = randomBytes(16).toString('hex')
  const traceparent = `00-${traceId}-${randomBytes(8).toString('hex')}-01`
  return { traceId, headers: { authorization: `Bearer ${OPERATOR_KEY}`, traceparent } }
}

function namesOf(spans: ReceivedSpan[]): string[] {
  return spans.map(({ name }) => name).toSorted()
}

t.test('traces: a refresh is one trace, a hit none', async (t) => {
  const receiver = await startOtlpReceiver(t)
  const stage = await startBrokerWithSandbox(t, {
    ownProcess: true,
    env: {
      NODE_OPTIONS: `--import ${SDK}`,
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_BSP_SCHEDULE_DELAY: '50',
    },
  })
  const { broker, sandbox } = stage
  const traceOf = (root: ReceivedSpan) =>
    receiver.spans.filter(({ traceId }) => traceId === root.traceId)
  const rootsOf = (name: string) =>
    receiver.spans.filter((span) => span.name === name && !span.parentSpanId)

  await t.test('onboarding', async (t) => {
    await until(() => rootsOf('amo.onboarding').length > 0)
    const [root] = rootsOf('amo.onboarding')
    if (root === undefined) throw new Error('no trace')
    t.match(root.attributes, { 'amo.integration': 'amocrm', 'amo.outcome': 'stored' })
    t.same(namesOf(traceOf(root)), [
      'amo.onboarding',
      'amo.onboarding.confirm',
      'amo.onboarding.exchange',
      'amo.onboarding.store',
      'amo.probe',
    ])
  })

  await t.test('hits: no span', async (t) => {
    await broker.get('/tokens/demo')
    const before = receiver.spans.length
    const hit = newCaller()
    for (let n = 0; n < 50; n += 1) {
      t.equal((await ask(broker.url, 'GET', '/tokens/demo', hit.headers)).status, 200)
    }
    // The spans of a later refresh come after those that the hits would have made.
    await stage.makeDue()
    await afterAttempt(stage, 1)
    await until(() => rootsOf('amo.refresh').length === 1)
    t.ok(receiver.spans.slice(before).every(({ name }) => name.startsWith('amo.refresh')))
    t.notOk(receiver.raw().includes(hit.traceId))
  })

  await t.test('a due refresh: send, store and commit in one trace', async (t) => {
    const [root] = rootsOf('amo.refresh')
    if (root === undefined) throw new Error('no trace')
    const trace = traceOf(root)
    t.same(namesOf(trace), [
      'amo.refresh',
      'amo.refresh.commit',
      'amo.refresh.send',
      'amo.refresh.store',
    ])
    t.same(root.links, [])
    const send = trace.find(({ name }) => name === 'amo.refresh.send')
    t.match(send, {
      parentSpanId: root.spanId,
      attributes: { 'amo.host': 'demo.amocrm.ru', 'amo.try': 1, 'amo.outcome': 'pair' },
    })
    t.match(
      trace.find(({ name }) => name === 'amo.refresh.store'),
      { parentSpanId: send?.spanId },
      'the response is stored while the send is not over',
    )
    t.match(trace.find(({ name }) => name === 'amo.refresh.commit')?.attributes, {
      'amo.integration': 'amocrm',
      'amo.outcome': 'committed',
    })
  })

  await t.test('a refresh that a request caused: lock and claim too, linked', async (t) => {
    const account = sandbox.world.directory.findAccount('demo')
    if (account === undefined) throw new Error('no account')
    const traceIds: string[] = []
    const linked = () =>
      rootsOf('amo.refresh').find(({ links }) => traceIds.includes(links[0] ?? ''))
    // The schedule may be faster than the request.
    await until(async () => {
      if (linked() !== undefined) return true
      const roots = rootsOf('amo.refresh').length
      const { body } = await broker.get('/tokens/demo')
      sandbox.world.grants.expire(account, ['access_token'])
      const caller = newCaller()
      traceIds.push(caller.traceId)
      const { generation } = body
      await ask(broker.url, 'POST', '/tokens/demo/refresh', caller.headers, { generation })
      await until(() => rootsOf('amo.refresh').length > roots)
      return linked() !== undefined
    })
    const root = linked()
    if (root === undefined) throw new Error('no linked trace')
    t.notOk(traceIds.includes(root.traceId), 'a trace of its own')
    t.match(root.attributes, { 'amo.lane': 'waiting', 'amo.outcome': 'committed' })
    t.same(namesOf(traceOf(root)), [
      'amo.refresh',
      'amo.refresh.claim',
      'amo.refresh.commit',
      'amo.refresh.lock',
      'amo.refresh.send',
      'amo.refresh.store',
    ])
    t.ok(
      rootsOf('amo.probe').some(({ links }) => traceIds.includes(links[0] ?? '')),
      'the probe of the reported token is linked as well',
    )
  })

  await t.test('no secret in any span', async (t) => {
    const raw = receiver.raw()
    t.notMatch(raw, TOKEN)
    const [, key = ''] = ENCRYPTION_KEYS.split(':')
    for (const secret of [CLIENT_SECRET, OPERATOR_KEY, key]) t.notOk(raw.includes(secret))
  })
})
