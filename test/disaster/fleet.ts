import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import {
  CLIENT_ID,
  CLIENT_SECRET,
  deploymentOf,
  ENCRYPTION_KEYS,
  OPERATOR_KEY,
  startBroker,
  startSandbox,
  type TestBroker,
  type TestSandbox,
} from '../support/broker.ts'
import { runCli } from '../support/cli.ts'
import { createDatabase, redisUrl } from '../support/database.ts'
import { addAccounts } from '../support/database-with-accounts.ts'
import { freePorts } from '../support/ports.ts'
import type { TeardownScope } from '../support/teardown-scope.ts'

const REPLICAS = 3
const PACE = '100'
/** Between two reads of a caller. */
const REST_MS = 100

export interface FleetOptions {
  accounts: number
  callers: number
  lifetimeSeconds: number
  problem: (text: string) => void
}

/** Brokers of one deployment with their escrow, their provider and their callers. */
export interface Fleet extends FleetOptions {
  scope: TeardownScope
  readonly databaseUrl: string
  sandbox: TestSandbox
  /** For dumps. */
  folder: string
  /** Starts the brokers, or only some, each with its DATA_DIR of before. */
  start(options?: { count?: number; env?: Record<string, string> }): Promise<TestBroker[]>
  /** Ends the brokers as an operator would. Returns their exit codes. */
  stop(): Promise<(number | null)[]>
  /** Moves the disks, and leads the brokers to another database and Redis. */
  moveTo(databaseUrl: string, redisUrl: string): void
  /** Removes the disks of the brokers and their copies in Redis. */
  loseDisks(): Promise<void>
  /** Makes the place of the escrow fail, or work again with what it has. */
  setPlace(isThere: boolean): void
  /** Runs `amo-broker` with `--json`. Returns what it prints. */
  cli(words: string[], env?: Record<string, string>): Promise<CliResult>
  /** Reads tokens until the result is stopped. */
  call(): { stop(): Promise<{ served: number; refused: Map<string, number> }> }
}

interface CliResult {
  code: number | null
  // biome-ignore lint/suspicious/noExplicitAny: each command prints its own
  json: any
}

/** Creates the database with its accounts. No broker runs yet. */
export async function openFleet(scope: TeardownScope, options: FleetOptions): Promise<Fleet> {
  const folder = mkdtempSync(join(tmpdir(), 'amo-disaster-'))
  scope.teardown(() => rmSync(folder, { recursive: true, force: true }))
  let databaseUrl = await createDatabase(scope)
  let redis = redisUrl()
  const ports = await freePorts(2 * REPLICAS)
  const publicPort = ports[1] ?? 0
  const sandbox = await startSandbox(scope, {
    publicPort,
    accessTtlSeconds: options.lifetimeSeconds,
  })
  const place = join(folder, 'escrow')
  const common = {
    AMO_REDIRECT_URI: `http://127.0.0.1:${publicPort}/api/v1/integrations/amo-crm/callback`,
    ESCROW_URL: `file://${place}`,
    PACE_PER_SECOND: PACE,
    LOG_LEVEL: 'warn',
  }
  let dataDirs = Array.from({ length: REPLICAS }, () => mkdtempSync(join(folder, 'disk-')))
  const startOne = (nth: number, env: Record<string, string> = {}) =>
    startBroker(scope, {
      databaseUrl,
      redis,
      sandbox,
      ports: [ports[2 * nth] ?? 0, ports[2 * nth + 1] ?? 0],
      dataDir: dataDirs[nth] ?? '',
      env: { ...common, ...env },
      ownProcess: true,
    })
  const first = await startOne(0, { HOLD_SENDS: 'true' })
  await addAccounts(databaseUrl, sandbox, options.accounts)
  await first.stop()
  let running: TestBroker[] = []
  return {
    ...options,
    scope,
    get databaseUrl() {
      return databaseUrl
    },
    sandbox,
    folder,
    async start({ count = REPLICAS, env } = {}) {
      const some = dataDirs.slice(0, count)
      running = await Promise.all(some.map((_, nth) => startOne(nth, env)))
      return running
    },
    stop: () => Promise.all(running.map((broker) => broker.stop('SIGTERM'))),
    moveTo(newDatabaseUrl, newRedisUrl) {
      databaseUrl = newDatabaseUrl
      redis = newRedisUrl
      dataDirs = dataDirs.map((dataDir) => {
        const copy = mkdtempSync(join(folder, 'moved-'))
        cpSync(dataDir, copy, { recursive: true })
        rmSync(dataDir, { recursive: true })
        return copy
      })
    },
    async loseDisks() {
      for (const dataDir of dataDirs) rmSync(dataDir, { recursive: true, force: true })
      await forgetCopies(deploymentOf(databaseUrl))
    },
    setPlace(isThere) {
      if (isThere) {
        rmSync(place)
        renameSync(`${place}-away`, place)
      } else {
        renameSync(place, `${place}-away`)
        writeFileSync(place, 'in the way')
      }
    },
    async cli(words, env) {
      const { code, out, err } = await runCli([...words, '--json'], {
        ...common,
        DATABASE_URL: databaseUrl,
        DEPLOYMENT_ID: deploymentOf(databaseUrl),
        ENCRYPTION_KEYS,
        OPERATOR_KEY,
        DATA_DIR: folder,
        AMO_CLIENT_ID: CLIENT_ID,
        AMO_CLIENT_SECRET: CLIENT_SECRET,
        AMO_SANDBOX_ORIGIN: sandbox.origin,
        NODE_NO_WARNINGS: '1',
        ...env,
      })
      if (out === '') throw new Error(`${words.join(' ')}: ${err}`)
      return { code, json: JSON.parse(out) }
    },
    call: () => callAll(running, options),
  }
}

async function forgetCopies(deploymentId: string): Promise<void> {
  const redis = new Redis(redisUrl())
  for await (const keys of redis.scanStream({ match: `*${deploymentId}*`, count: 1_000 })) {
    if (keys.length > 0) await redis.del(...keys)
  }
  redis.disconnect()
}

function callAll(brokers: readonly TestBroker[], { accounts, callers }: FleetOptions) {
  let isOver = false
  let served = 0
  const refused = new Map<string, number>()
  const count = (what: string) => refused.set(what, (refused.get(what) ?? 0) + 1)
  const one = async (nth: number) => {
    for (let read = nth; !isOver; read += 7) {
      const broker = brokers[read % brokers.length]
      const answer = await broker?.get(`/tokens/fleet-${read % accounts}`).catch(() => undefined)
      if (answer?.status === 200) served += 1
      else count(answer === undefined ? 'no answer' : `${answer.status} ${answer.body.code}`)
      await delay(REST_MS)
    }
  }
  const all = Array.from({ length: callers }, (_, nth) => one(nth * 13))
  return {
    async stop() {
      isOver = true
      await Promise.all(all)
      return { served, refused }
    },
  }
}
