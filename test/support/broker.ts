import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { consent } from '../../src/cli/project/demo-consent.ts'
import type { buildSandbox, Sandbox } from '../../src/sandbox/sandbox.ts'
import { makeDataDir } from './data-dir.ts'
import { redisUrl } from './database.ts'
import { freePorts } from './ports.ts'
import { runAsProcess, runInProcess } from './running-broker.ts'
import type { TeardownScope } from './teardown-scope.ts'
import { underLoad } from './under-load.ts'

export const OPERATOR_KEY = 'amo_op_test_0123456789abcdef'
export const CLIENT_ID = '11111111-1111-4111-8111-111111111111'
export const CLIENT_SECRET = 'canary-client-secret'
/** A start takes one second on an idle machine. The limit only ends a hopeless wait. */
const START_LIMIT_MS = 120_000
const WAIT_LIMIT_MS = 60_000
/**
 * The first check comes soon after the start of the wait. Later ones leave the processor to the
 * broker.
 */
const POLL_MS = { first: 10, longest: 50 }

/**
 * How often connections to the sandbox are cut while a broker of this process ends with its test.
 */
const CUT_MS = 100

/** One key ring for the whole test file, because replicas must open each other's sealed values. */
export const ENCRYPTION_KEYS = `test:${randomBytes(32).toString('base64')}`

export interface TestSandbox extends Sandbox {
  origin: string
}

/** Starts a sandbox with one integration and the account "demo" of amoCRM. */
export async function startSandbox(
  t: TeardownScope,
  options: Parameters<typeof buildSandbox>[0] & { publicPort?: number } = {},
): Promise<TestSandbox> {
  const { publicPort = 1, ...rest } = options
  const { buildSandbox } = await import('../../src/sandbox/sandbox.ts')
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
  /** Throws when the broker runs in the process of the test. */
  readonly process: ChildProcess
  /** Returns its output so far. */
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
  /** By default the Redis of the test run; null runs the broker without Redis. */
  redis?: string | null
  deploymentId?: string
  sandbox?: TestSandbox
  ports?: [internal: number, open: number]
  dataDir?: string
  env?: Record<string, string>
  /** Decides from the output whether the broker is ready. By default `/health/ready` decides. */
  isReady?: (log: string) => boolean
  args?: string[]
  /**
   * Runs the broker as a process of its own, which takes two seconds of processor time. A test
   * needs this when it kills the broker, sends it a signal or reads its exit code, examines its
   * whole output, or when replicas have to race. It is the default for embedded storage and for
   * brokers with arguments or with options for Node.
   */
  ownProcess?: boolean
}

function needsProcess({ args, databaseUrl, env = {} }: BrokerOptions): boolean {
  const isForNode = Object.keys(env).some((name) => name.startsWith('NODE_'))
  return args !== undefined || databaseUrl === undefined || isForNode
}

/** Starts a broker and waits until it is ready. It ends with the test. */
export async function startBroker(t: TeardownScope, options: BrokerOptions): Promise<TestBroker> {
  const [internalPort, publicPort] = options.ports ?? (await freePorts(2))
  const dataDir = options.dataDir ?? makeDataDir(t)
  const redis = options.redis === undefined ? redisUrl() : options.redis
  const env = {
    PATH: process.env.PATH,
    ...compileCache(),
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
  let log = ''
  const onOutput = (text: string) => {
    log += text
  }
  const { ownProcess = needsProcess(options), args = [] } = options
  const running = ownProcess ? runAsProcess(env, args, onOutput) : runInProcess(env, onOutput)
  const url = `http://127.0.0.1:${internalPort}`
  const broker: TestBroker = {
    url,
    publicUrl: `http://127.0.0.1:${publicPort}`,
    dataDir,
    get process() {
      return running.process
    },
    log: () => log,
    get: (path, headers) => ask(url + path, { headers }),
    post: (path, body) =>
      ask(url + path, {
        method: 'POST',
        ...(body === undefined
          ? {}
          : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      }),
    stop: (signal = 'SIGTERM') => running.stop(signal),
  }
  t.teardown(async () => {
    // A broker waits for responses that are on their way. Some faults never end one.
    const cut = setInterval(() => options.sandbox?.app.server.closeAllConnections(), CUT_MS)
    await running.stop().finally(() => clearInterval(cut))
  })
  await until(
    async () => {
      if (running.hasEnded()) throw new Error(`the broker ended:\n${log}`)
      if (options.isReady !== undefined) return options.isReady(log)
      return (await fetch(`${url}/health/ready`).catch(() => undefined))?.ok
    },
    START_LIMIT_MS,
    () => `the broker is not ready:\n${log}`,
  )
  return broker
}

/**
 * Returns the name of the database. It is unique to the test, so that tests share Redis but no key.
 */
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

/** Connects an account of the sandbox through the consent flow, as a browser would. */
export function connectAccount(broker: TestBroker, account = 'demo'): Promise<void> {
  return consent({
    broker: broker.url,
    key: OPERATOR_KEY,
    integration: 'amocrm',
    account,
    onStep: () => {},
  })
}

/** Where child processes find compiled modules; see `test/run.ts`. */
function compileCache(): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE } = process.env
  return NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE }
}

/**
 * Waits for a condition outside this process, where no event can be awaited. The limit is longer on
 * a machine that has other work to do; see `underLoad`.
 *
 * @throws {Error} `message` when the condition does not hold within the limit
 */
export async function until(
  condition: () => Promise<unknown> | unknown,
  limitMs = WAIT_LIMIT_MS,
  message: () => string = () => `not within ${limitMs} ms: ${condition}`,
): Promise<void> {
  const beganMs = performance.now()
  let pollMs = POLL_MS.first
  while (!(await condition())) {
    if (performance.now() - beganMs > underLoad(limitMs)) throw new Error(message())
    await delay(pollMs)
    pollMs = Math.min(2 * pollMs, POLL_MS.longest)
  }
}
