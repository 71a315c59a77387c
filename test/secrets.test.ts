import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Redis } from 'ioredis'
import t from 'tap'
import { faultTable } from '../src/sandbox/fault-table.ts'
import {
  CLIENT_ID,
  CLIENT_SECRET,
  connectAccount,
  ENCRYPTION_KEYS,
  OPERATOR_KEY,
  startBroker,
  type TestBroker,
  until,
} from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { CLI } from './support/cli.ts'
import { ask } from './support/clients.ts'
import { createDatabase, query, redisUrl } from './support/database.ts'
import { PRIVATE, untilDeliveries } from './support/endpoints.ts'
import { BOT_TOKEN, SLACK_PATH, startReceiver } from './support/receivers.ts'

const [, KEY_MATERIAL = ''] = ENCRYPTION_KEYS.split(':')
const operator = { authorization: `Bearer ${OPERATOR_KEY}` }
const NEXT_SECRET = 'canary-next-secret'
/** A fault that ended in one of these outcomes is over. */
const FAULT_LIMIT_MS = 2_000

/**
 * Secrets that no sink may contain. Tokens and codes of the sandbox have the provider's pattern.
 */
const secrets = new Map<string, RegExp>([
  ['refresh token or code', /def502[0-9a-f]{16}/],
  ['access token', /eyJ[\w-]{20,}\.eyJ[\w-]{20,}/],
  ['client secret', new RegExp(CLIENT_SECRET)],
  ['next client secret', new RegExp(NEXT_SECRET)],
  ['operator key', new RegExp(OPERATOR_KEY)],
  ['key material', new RegExp(literally(KEY_MATERIAL.slice(0, 30)))],
  [
    'key material, hex',
    new RegExp(Buffer.from(KEY_MATERIAL, 'base64').toString('hex').slice(0, 30)),
  ],
  ['code of a forged callback', /canary-code/],
  ['wrong key', /canary-wrong-key/],
  ['database password', /canary-db-password/],
  ['Redis password', /canary-redis-password/],
  ['misplaced secret', /canary-misplaced/],
  ['bot token', /canary-bot-token/],
  ['Slack URL', /canary-slack-secret/],
  ['webhook URL', /canary-webhook-url/],
  // Except the example of the API document.
  ['signing secret', /whsec_(?!C2FVsBQIhrsc)/],
])

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
}

/** Refuses a message as frameworks do, with the path in the error. */
const repeat: Parameters<typeof startReceiver>[1] = ({ path, headers }, response) => {
  response.writeHead(404).end(`Cannot POST ${path} ${headers['webhook-signature']}`)
}

/** Returns the secrets in a sink by name, with the text around the first occurrence. */
function found(sink: string, text: string, allowed: string[] = []): string[] {
  return [...secrets]
    .filter(([name]) => !allowed.includes(name))
    .flatMap(([name, pattern]) => {
      const at = text.search(pattern)
      return at < 0 ? [] : [`${sink}: ${name}: …${text.slice(Math.max(0, at - 60), at + 12)}…`]
    })
}

t.test('no secret in any sink', { timeout: 280_000 }, async (t) => {
  const databaseUrl = await createDatabase(t)
  const withPassword = new URL(databaseUrl)
  withPassword.password = 'canary-db-password'
  const redisWithPassword = new URL(redisUrl())
  redisWithPassword.password = 'canary-redis-password'
  const deploymentId = withPassword.pathname.slice(1)
  const stage = await startBrokerWithSandbox(t, {
    ownProcess: true,
    databaseUrl: withPassword.href,
    redis: redisWithPassword.href,
    deploymentId,
    env: {
      LOG_LEVEL: 'trace',
      SEND_LIMIT_MS: '500',
      LINGER_MS: '500',
      SETTLE_MS: '200',
      BREAKER_MS: '100',
      ...PRIVATE,
    },
  })
  const { sandbox } = stage
  let { broker } = stage
  const hits: string[] = []
  const brokers = [broker]
  /** The tokens that the client received, which may appear in its memory only. */
  const given: string[] = []

  const call = async (
    url: string,
    method: string,
    path: string,
    body?: unknown,
    headers = operator,
  ) => {
    const answer = await ask(url, method, path, headers, body)
    const text = `${JSON.stringify(answer.body)} ${JSON.stringify([...answer.headers])}`
    const isToken = path.startsWith('/tokens/') && answer.status === 200
    // A new signing secret is shown once.
    const isNew = answer.body?.signing_secret !== undefined
    // The response to an unknown name repeats the name.
    const isEcho = path.includes('canary-misplaced')
    const allowed = [
      isToken ? 'access token' : [],
      isEcho ? 'misplaced secret' : [],
      isNew ? 'signing secret' : [],
    ].flat()
    hits.push(...found(`${method} ${path} ${answer.status}`, text, allowed))
    return answer
  }

  const driveRoutes = async (key: string) => {
    const { paths } = (await call(broker.url, 'GET', '/openapi.json')).body
    for (const [pattern, operations] of Object.entries<Record<string, unknown>>(paths)) {
      for (const method of Object.keys(operations)) {
        const isRead = method === 'get' || method === 'delete'
        const misplaced = { client_secret: 'canary-misplaced', nonsense: 'canary-misplaced' }
        for (const name of ['demo', 'canary-misplaced']) {
          const path = pattern.replaceAll(/\{[^}]+\}/g, name)
          for (const body of isRead ? [undefined] : [misplaced, { generation: 1 }]) {
            for (const each of [OPERATOR_KEY, key]) {
              const headers = { authorization: `Bearer ${each}` }
              await call(broker.url, method.toUpperCase(), path, body, headers)
            }
          }
        }
      }
    }
    for (let guess = 0; guess < 3; guess += 1) {
      const headers = { authorization: 'Bearer canary-wrong-key' }
      await call(broker.url, 'GET', '/tokens/demo', undefined, headers)
    }
    for (const path of [
      '/connect/canary-misplaced',
      '/api/v1/integrations/amo-crm/callback?code=canary-code&state=canary-misplaced&referer=demo.amocrm.ru',
      '/api/v1/integrations/amo-crm/callback?error=canary-misplaced&error_description=canary-misplaced',
      '/nothing?code=canary-code',
      '/%zz?code=canary-code',
      `/hooks/disconnect?account_id=1&client_uuid=canary-misplaced&signature=${'0'.repeat(64)}`,
    ]) {
      await call(broker.publicUrl, 'GET', path)
    }
  }

  const { body: minted } = await ask(broker.url, 'POST', '/clients', operator, {
    name: 'shop',
    role: 'reader',
    grants: [{ integration: 'amocrm', account: 'demo' }],
  })
  given.push(minted.key)
  secrets.set('client key', new RegExp(minted.key.split('_').slice(3).join('_')))
  await call(broker.url, 'PUT', '/integrations/amocrm/next-client-secret', {
    client_secret: NEXT_SECRET,
  })
  await t.test('endpoints that repeat their URL', async () => {
    const [echo, chat] = [await startReceiver(t, repeat), await startReceiver(t, repeat)]
    for (const endpoint of [
      { name: 'demo', kind: 'webhook', url: `${echo.origin}/canary-webhook-url` },
      { name: 'slack', kind: 'slack', url: echo.origin + SLACK_PATH },
      {
        ...{ name: 'bot', kind: 'telegram', bot_token: BOT_TOKEN, chat_id: '-5' },
        api_origin: chat.origin,
      },
    ]) {
      await call(broker.url, 'POST', '/endpoints', endpoint)
      await call(broker.url, 'POST', `/endpoints/${endpoint.name}/rotate-secret`, {})
      await call(broker.url, 'POST', `/endpoints/${endpoint.name}/test`)
      await untilDeliveries(databaseUrl, endpoint.name, ([row]) => row?.attempts === 1)
      await call(broker.url, 'GET', `/endpoints/${endpoint.name}/deliveries`)
    }
    await call(broker.url, 'GET', '/endpoints')
  })
  await driveRoutes(minted.key)
  await call(broker.url, 'POST', '/integrations/resume')
  await call(broker.url, 'POST', '/integrations/amocrm/resume')
  await call(broker.url, 'POST', '/accounts/demo/resume')

  await t.test('every fault of the sandbox', async (t) => {
    for (const fault of faultTable.keys()) {
      sandbox.world.faults.set([
        {
          fault,
          times: 2,
          ...(fault === 'body' ? { status: 200, body: '{"access_token":"eyJ' } : {}),
        },
      ])
      const before = (await stage.attempts()).length
      await stage.makeDue()
      await call(broker.url, 'GET', '/tokens/demo')
      const isOver = async () => {
        const attempts = await stage.attempts()
        return attempts.length > before && attempts.every(({ outcome }) => outcome !== null)
      }
      await until(isOver, FAULT_LIMIT_MS).catch(() => {})
      sandbox.world.faults.clear()
      await call(broker.url, 'POST', '/integrations/amocrm/resume')
      if ((await stage.row()).status !== 'active') await connectAccount(broker).catch(() => {})
    }
    t.ok((await stage.attempts()).length >= 10, 'they were met')
  })

  await t.test('killed during a refresh, restarted, refused at the start', async (each) => {
    sandbox.world.faults.set([{ fault: 'delay_after_spend', delay_ms: 300 }])
    await stage.makeDue()
    await broker.stop('SIGKILL')
    sandbox.world.faults.clear()
    const again: TestBroker = await startBroker(t, {
      ownProcess: true,
      databaseUrl: withPassword.href,
      redis: redisWithPassword.href,
      deploymentId,
      sandbox,
      dataDir: broker.dataDir,
      env: {
        LOG_LEVEL: 'trace',
        AMO_REDIRECT_URI: `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`,
      },
    })
    brokers.push(again)
    broker = again
    await call(broker.url, 'GET', '/tokens/demo')
    await call(broker.url, 'GET', '/accounts')
    const unreachable = {
      DATABASE_URL: 'postgres://u:canary-db-password@127.0.0.1:1/x',
      REDIS_URL: 'redis://:canary-redis-password@127.0.0.1:1',
      DEPLOYMENT_ID: 'x',
      ENCRYPTION_KEYS,
      OPERATOR_KEY,
    }
    const malformed = {
      DATABASE_URL: 'canary-db-password',
      OPERATOR_KEY: 'canary-misplaced',
      ENCRYPTION_KEYS: `x:${KEY_MATERIAL.slice(0, 20)}canary-misplaced`,
    }
    for (const [script, command, env] of [
      [resolve('src/main.ts'), '', malformed],
      [CLI, 'migrate', unreachable],
      [CLI, 'reseal', unreachable],
      [CLI, 'verify', unreachable],
    ] as const) {
      const { stdout, stderr } = spawnSync(process.execPath, [script, command].filter(Boolean), {
        cwd: tmpdir(),
        env: { PATH: process.env.PATH, DATA_DIR: join(broker.dataDir, 'none'), ...env },
        encoding: 'utf8',
        timeout: 30_000,
      })
      each.ok(stdout + stderr, `${script} ${command} says something`)
      hits.push(...found(script, stdout + stderr))
    }
  })

  await t.test('no secret in responses, logs, metrics, Redis, tables and files', async (t) => {
    await call(broker.url, 'GET', '/metrics')
    await call(broker.url, 'GET', '/health/ready')
    await call(broker.url, 'GET', '/audit')
    await broker.stop()
    for (const each of brokers) {
      t.ok(each.log().length > 1_000)
      hits.push(...found('log', each.log()))
    }
    const tables = await query(
      databaseUrl,
      `select tablename as name from pg_tables where schemaname = 'public'`,
    )
    t.ok(tables.length > 8)
    for (const { name } of tables) {
      for (const { row } of await query(databaseUrl, `select t::text as row from ${name} t`)) {
        hits.push(...found(`table ${name}`, row))
      }
    }
    for (const entry of readdirSync(broker.dataDir, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      hits.push(
        ...found(`file ${entry.name}`, readFileSync(join(entry.parentPath, entry.name), 'latin1')),
      )
    }
    const redis = new Redis(redisUrl())
    t.teardown(() => redis.disconnect())
    const keys = await redis.keys(`amo:${deploymentId}:*`)
    t.ok(keys.length > 0)
    for (const key of keys) {
      const kind = await redis.type(key)
      const values =
        kind === 'hash'
          ? await redis.hgetall(key)
          : kind === 'set'
            ? await redis.smembers(key)
            : await redis.get(key)
      hits.push(...found(`Redis ${kind}`, `${key} ${JSON.stringify(values)}`))
    }
    t.same([...new Set(hits)], [])
    t.ok(
      found('itself', `x ${given[0]} ${CLIENT_SECRET} ${CLIENT_ID}`).length === 2,
      'what it looks for, it finds',
    )
  })
})
