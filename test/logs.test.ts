import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { systemClock } from '../src/lib/clock.ts'
import { PeriodicTask } from '../src/lib/periodic-task.ts'
import { OPERATOR_KEY, until } from './support/broker.ts'
import { afterAttempt, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask } from './support/clients.ts'
import { createDatabase, query, redisUrl } from './support/database.ts'
import { callsIn, findLogCalls } from './support/log-calls.ts'
import { rowsOf, sectionOf } from './support/markdown.ts'
import { startProxy } from './support/proxy.ts'

const PAGE = readFileSync(join(import.meta.dirname, '..', 'docs', 'logs-and-traces.md'), 'utf8')
const WARN = 40
const LIMIT_MS = 60_000

interface Line {
  level: number
  msg: string
  reason?: string
  code?: string
  work?: string
  request_id?: string
  account?: number
}

function linesOf(log: string): Line[] {
  return log
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
}

t.test('docs/logs-and-traces.md: a row for each log event, with its level', async (t) => {
  const calls = findLogCalls()
  t.ok(calls.length > 100)
  const rows = rowsOf(sectionOf(PAGE, 'Logs'))
  const table = new Map(rows.map(([message = '', ...rest]) => [message, rest]))
  t.equal(table.size, rows.length, 'one row for each message')
  const messages = [...new Set(calls.map(({ message }) => message))]
  t.same([...table.keys()].toSorted(), messages.toSorted())
  for (const { message, level, file } of calls) {
    const [levels = '', fields, action] = table.get(message) ?? []
    if (level !== undefined) t.match(levels, new RegExp(`\\b${level}\\b`), `${file}: ${message}`)
    t.ok(fields && action, `${message}: fields, and what to do`)
  }
  const [call] = callsIn('probe.ts', "this.#log[level]({ a: f('x') }, 'it happened')")
  t.match(call, { level: undefined, message: 'it happened' }, 'calls are found')
})

t.test('periodic work: one line when it begins to fail, and one when it succeeds', async (t) => {
  const lines: Line[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  let failure: Error | undefined
  const run = async () => {
    if (failure !== undefined) throw failure
  }
  const task = new PeriodicTask({ name: 'test', intervalMs: 1e6, run }, log, systemClock)
  const runs = async (count: number, next: Error | undefined) => {
    failure = next
    lines.length = 0
    for (let n = 0; n < count; n += 1) {
      task.runNow()
      await turn()
    }
    return lines.map(({ level, msg }) => `${level} ${msg}`)
  }
  t.same(await runs(2, undefined), [])
  const refused = Object.assign(new Error('no'), { code: 'ECONNREFUSED' })
  const [failed, again] = ['40 periodic work failed', '20 periodic work failed']
  t.same(await runs(3, refused), [failed, again, again])
  t.same(await runs(2, new Error('another cause')), [failed, again])
  t.same(await runs(2, undefined), ['30 periodic work succeeds again'])
  t.same(await runs(1, refused), [failed])
})

t.test('an outage of PostgreSQL and Redis: one line for each change, with the cause', async (t) => {
  const postgres = await startProxy(t, await createDatabase(t))
  const redis = await startProxy(t, redisUrl())
  const stage = await startBrokerWithSandbox(t, {
    databaseUrl: postgres.url,
    redis: redis.url,
    env: { HEARTBEAT_MS: '600' },
  })
  const { broker } = stage
  const since = linesOf(broker.log()).length
  const lines = () => linesOf(broker.log()).slice(since)
  const count = (message: string) => lines().filter(({ msg }) => msg === message).length
  postgres.set('refuse')
  redis.set('refuse')
  await until(() => count('storage is not writable') > 0 && count('Redis does not work') > 0)
  // Enough for every repetition: beats come every 200 ms, other work every second.
  const beats = count('heartbeat failed')
  await until(() => count('heartbeat failed') > beats + 15, LIMIT_MS)
  for (let n = 0; n < 20; n += 1) t.equal((await broker.get('/tokens/nobody')).status, 503)
  const loud = lines().filter(({ level }) => level >= WARN)
  const names = loud.map(({ msg, reason, code, work }) => [msg, reason ?? code, work].join(' '))
  t.same(
    names.toSorted(),
    [...new Set(names)].toSorted(),
    'no line is repeated while nothing changes',
  )
  for (const { msg, reason, code } of loud) {
    if (!/storage|LISTEN connection|Redis/.test(msg)) continue
    t.match(
      reason ?? code,
      /^(E[A-Z]+|08\d\w+|no connection|no_answer|closed by the server|.*terminated.*)$/i,
      msg,
    )
  }
  postgres.set('pass')
  redis.set('pass')
  await until(() => count('storage is writable again') > 0 && count('Redis works again') > 0)
  t.equal(count('storage is writable again'), 1)
  t.equal(count('Redis works again'), 1)
  await until(() => count('LISTEN works again') > 0)
  t.equal(count('LISTEN works again'), 1)
})

t.test('without Redis refreshes go on: one line, and a refused integration recovers', async (t) => {
  const redis = await startProxy(t, redisUrl())
  const stage = await startBrokerWithSandbox(t, { redis: redis.url })
  const { broker, databaseUrl } = stage
  redis.set('hang')
  await query(databaseUrl, `update amo_integrations set "lastErrorCode" = 'client_rejected'`)
  for (const nth of [1, 2, 3]) {
    await stage.makeDue()
    await afterAttempt(stage, nth)
  }
  await until(async () => {
    const [row] = await query(databaseUrl, 'select "lastErrorCode" from amo_integrations')
    return row?.lastErrorCode === null
  })
  const untidied = () =>
    linesOf(broker.log()).filter(({ msg }) => msg === 'journal not tidied after a commit')
  await until(() => untidied().length >= 3)
  t.equal(untidied().filter(({ level }) => level >= WARN).length, 1)
})

t.test('X-Request-Id: in the lines of the work that a request has caused', async (t) => {
  const { broker, sandbox } = await startBrokerWithSandbox(t)
  const account = sandbox.world.directory.findAccount('demo')
  if (account === undefined) throw new Error('no account')
  const stored = () =>
    linesOf(broker.log()).filter(({ msg }) => msg === 'refreshed token pair stored')
  let tries = 0
  // The schedule may be faster than the request.
  await until(async () => {
    const before = stored().length
    const { body } = await broker.get('/tokens/demo')
    sandbox.world.grants.expire(account, ['access_token'])
    const headers = { authorization: `Bearer ${OPERATOR_KEY}`, 'x-request-id': `report-${++tries}` }
    const { generation } = body
    await ask(broker.url, 'POST', '/tokens/demo/refresh', headers, { generation })
    await until(() => stored().length > before)
    return stored().at(-1)?.request_id === `report-${tries}`
  })
  const id = `report-${tries}`
  const own = linesOf(broker.log()).filter(({ request_id }) => request_id === id)
  t.ok(own.some(({ msg }) => msg === 'access token reported'))
  const later = stored().length
  await broker.get('/tokens/demo')
  t.equal(stored().length, later)
  t.notOk(
    linesOf(broker.log()).some(({ msg, request_id }) => msg === 'audit head' && request_id),
    'background work belongs to no request',
  )
})
