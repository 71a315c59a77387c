import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { consent } from '../../src/cli/demo-consent.ts'
import { buildSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts'
import { redisUrl } from './database.ts'
import { freePorts } from './ports.ts'

export const OPERATOR_KEY = 'amo_op_test_0123456789abcdef'
export const CLIENT_ID = '11111111-1111-4111-8111-111111111111'
export const CLIENT_SECRET = 'canary-client-secret'
const START_LIMIT_MS = 60_000

/** One for the file: replicas must be able to open what the others sealed. */
export const ENCRYPTION_KEYS = `test:${randomBytes(32).toString('base64')}`

export interface TestSandbox extends Sandbox {
  origin: string
}

/** A sandbox that plays both platforms, with the account "demo" at each. */
export async function startSandbox(
  t: Test,
  options: Parameters<typeof buildSandbox>[0] & { publicPort?: number } = {},
): Promise<TestSandbox> {
  const { publicPort = 1, ...rest } = options
  const sandbox = await buildSandbox({
    integrations: [
      {
        platform: 'amocrm',
        clientId: CLIENT_ID,
        clientSecret: CLIENT_SECRET,
        redirectUri: redirectUri(publicPort),
      },
    ],
    accounts: [{ platform: 'amocrm', subdomain: 'demo' }],
    limits: false,
    ...rest,
  })
  const origin = await sandbox.listen()
  t.teardown(() => sandbox.close())
  return Object.assign(sandbox, { origin })
}

function redirectUri(publicPort: number): string {
  return `http://127.0.0.1:${publicPort}/api/v1/integrations/amo-crm/callback`
}

export interface TestBroker {
  url: string
  publicUrl: string
  dataDir: string
  process: ChildProcess
  /** Everything it wrote so far. */
  log(): string
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  post(path: string, body: unknown): Promise<Answer>
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

export interface Answer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: what tests assert is the shape itself
  body: any
}

export interface BrokerOptions {
  databaseUrl?: string | undefined
  /** Redis of the test run by default; null: none. */
  redis?: string | null
  deploymentId?: string
  sandbox?: TestSandbox
  ports?: [internal: number, open: number]
  dataDir?: string
  env?: Record<string, string>
  /** Whether it is, going by what it wrote; by default its readiness is asked for. */
  isReady?: (log: string) => boolean
  args?: string[]
}

/** A broker as a process of its own, ready to be asked; it is ended when the test ends. */
export async function startBroker(t: Test, options: BrokerOptions): Promise<TestBroker> {
  const [internalPort, publicPort] = options.ports ?? (await freePorts(2))
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'amo-test-'))
  const redis = options.redis === undefined ? redisUrl() : options.redis
  const env = {
    PATH: process.env.PATH,
    INTERNAL_PORT: String(internalPort),
    PUBLIC_PORT: String(publicPort),
    DATA_DIR: dataDir,
    ENCRYPTION_KEYS,
    OPERATOR_KEY,
    LOG_LEVEL: 'debug',
    AMO_CLIENT_ID: CLIENT_ID,
    AMO_CLIENT_SECRET: CLIENT_SECRET,
    AMO_REDIRECT_URI: redirectUri(publicPort ?? 0),
    AMO_SANDBOX_ORIGIN: options.sandbox?.origin ?? 'http://127.0.0.1:1',
    PACE_PER_SECOND: '100',
    ...(options.databaseUrl === undefined
      ? {}
      : {
          DATABASE_URL: options.databaseUrl,
          DEPLOYMENT_ID: options.deploymentId ?? deploymentOf(options.databaseUrl),
          ...(redis === null ? {} : { REDIS_URL: redis }),
        }),
    ...options.env,
  }
  const child = spawn(process.execPath, ['src/main.ts', ...(options.args ?? [])], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      log += chunk
    })
  }
  const url = `http://127.0.0.1:${internalPort}`
  const broker: TestBroker = {
    url,
    publicUrl: `http://127.0.0.1:${publicPort}`,
    dataDir,
    process: child,
    log: () => log,
    get: (path, headers) => ask(url + path, { headers }),
    post: (path, body) =>
      ask(url + path, {
        method: 'POST',
        ...(body === undefined
          ? {}
          : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      }),
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      const ended = once(child, 'exit')
      child.kill(signal)
      await ended
      return child.exitCode
    },
  }
  t.teardown(async () => {
    await broker.stop('SIGKILL')
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true })
  })
  await until(
    async () => {
      if (child.exitCode !== null) throw new Error(`the broker ended:\n${log}`)
      if (options.isReady !== undefined) return options.isReady(log)
      return (await fetch(`${url}/health/ready`).catch(() => undefined))?.ok
    },
    START_LIMIT_MS,
    () => `the broker is not ready:\n${log}`,
  )
  return broker
}

/** The database's name: unique to the test, so that tests share Redis but no lock. */
export function deploymentOf(databaseUrl: string): string {
  return new URL(databaseUrl).pathname.slice(1)
}

async function ask(
  url: string,
  init: { method?: string; headers?: Record<string, string> | undefined; body?: string },
): Promise<Answer> {
  const headers = { authorization: `Bearer ${OPERATOR_KEY}`, ...init.headers }
  const response = await fetch(url, { ...init, headers })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json')
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : text,
  }
}

/** Connects an account of the sandbox through the consent flow. */
export function connectAccount(broker: TestBroker, account = 'demo'): Promise<void> {
  return consent({
    broker: broker.url,
    key: OPERATOR_KEY,
    integration: 'amocrm',
    account,
    onStep: () => {},
  })
}

/** Waits for something outside of this process, where there is no event to wait for. */
export async function until(
  condition: () => Promise<unknown> | unknown,
  limitMs = 10_000,
  message: () => string = () => `not within ${limitMs} ms: ${condition}`,
): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(message())
    await delay(20)
  }
}
