import t from 'tap'
import { fillIn, metricsIn, readPanels, readRuleGroups } from './support/alert-rules.ts'
import { until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { makeClient } from './support/clients.ts'
import { createDatabase } from './support/database.ts'
import { hasPrometheus, speedUp, startPrometheus } from './support/prometheus.ts'
import { startProxy } from './support/proxy.ts'
import { scrape } from './support/scrape.ts'

const skip = !hasPrometheus() && 'prometheus is not installed'

t.test('a real Prometheus sees the first account that dies', { skip }, async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const key = await makeClient(stage.broker, 'prometheus', 'monitor')
  const prometheus = await startPrometheus(t, [stage.broker.url], { key })
  const sampleOf = async (expr: string) => (await prometheus.query(expr))[0]?.value
  const condemned = 'sum(amo_accounts_condemned_total{integration="amocrm"})'
  await until(async () => (await sampleOf(condemned)) === 0)

  await t.test('rules and dashboard name only metrics that are scraped', async (t) => {
    const queries = [
      ...readRuleGroups().flatMap(({ rules }) => rules.map(({ expr }) => expr)),
      ...readPanels().flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ]
    await until(async () => (await prometheus.metricNames()).length > 50)
    // This one depends on a setting.
    const scraped = [...(await prometheus.metricNames()), 'up', 'amo_escrow_lag_seconds']
    for (const name of new Set(queries.flatMap(metricsIn))) t.ok(scraped.includes(name), name)
    for (const expr of queries) await t.resolves(prometheus.query(fillIn(expr)), expr)
  })

  const account = [...stage.sandbox.world.directory.accounts.values()][0]
  if (account === undefined) throw new Error('no account')
  stage.sandbox.world.grants.revoke(account)
  await stage.makeDue()
  await until(async () => (await stage.row()).status === 'reauth_required')
  const increase = 'sum(increase(amo_accounts_condemned_total{integration="amocrm"}[1m]))'
  await until(async () => Number(await sampleOf(increase)) > 0)
  const fires = async (alert: string) =>
    (await prometheus.firing()).some(({ alertname }) => alertname === alert)
  await until(() => fires('AmoAccountsLost'))
  t.notOk(await fires('AmoBrokerDown'))
})

t.test('availability: the metric has what the callers counted', async (t) => {
  const databaseUrl = await createDatabase(t)
  const proxy = await startProxy(t, databaseUrl)
  const { broker } = await startBrokerWithSandbox(t, {
    databaseUrl: proxy.url,
    deploymentId: 'counted',
    redis: null,
    env: { READ_WAIT_MS: '200', CACHE_ACCOUNTS: '0' },
  })
  const counted = { served: 0, refused: 0, unavailable: 0 }
  const readSome = async (name: string, times: number) => {
    for (let nth = 0; nth < times; nth += 1) {
      const { status } = await broker.get(`/tokens/${name}`)
      const result = status < 400 ? 'served' : status < 500 ? 'refused' : 'unavailable'
      counted[result] += 1
    }
  }
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
  await readSome('demo', 20)
  await readSome('missing', 5)
  proxy.set('hang')
  await readSome('demo', 8)
  proxy.set('pass')
  await until(async () => {
    await readSome('demo', 1)
    return counted.served > 30
  })
  const { text } = await scrape(broker)
  const measured = { served: 0, refused: 0, unavailable: 0 }
  for (const [, result, times] of text.matchAll(
    /^amo_token_reads_total\{result="(\w+)".*\} (\d+)$/gm,
  )) {
    measured[result as keyof typeof measured] += Number(times)
  }
  t.same(measured, counted)
  t.ok(counted.unavailable > 0 && counted.served > 30, JSON.stringify(counted))
})

t.test('rules are tried in seconds instead of minutes', async (t) => {
  const rule = 'expr: sum(increase(a[30m])) > 0 or min_over_time(b[5m:30s]) > a offset 1h'
  t.equal(
    speedUp(`${rule}\nfor: 15m\ninterval: 30s\n`, 60),
    'expr: sum(increase(a[30000ms])) > 0 or min_over_time(b[5000ms:500ms]) > a offset 60000ms\nfor: 15000ms\ninterval: 500ms\n',
  )
})
