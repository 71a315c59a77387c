import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPrng } from '../../src/sandbox/prng.ts'
import { buildSandbox } from '../../src/sandbox/sandbox.ts'
import { createDatabase } from '../support/database.ts'
import { freePorts } from '../support/ports.ts'
import { startProxy } from '../support/proxy.ts'
import { createSandboxAccounts, onboard } from '../support/sandbox-accounts.ts'
import type { TeardownScope } from '../support/teardown-scope.ts'
import { openVault, type Vault } from '../support/vault.ts'
import { Answers } from './answers.ts'
import { Callers, type ViolationKind } from './callers.ts'
import { type Harness, TIMES } from './harness.ts'
import { recordHistory } from './history.ts'
import { Incidents } from './incidents.ts'
import { Journal } from './journal.ts'
import type { PostgresCluster } from './postgres-cluster.ts'
import { Pulse } from './pulse.ts'
import { RedisServer } from './redis-server.ts'
import { Replica } from './replica.ts'
import { SmallDisk } from './small-disk.ts'
import { Turn } from './turn.ts'

export interface HarnessOptions {
  seed: number
  accounts: number
  integrations: number
  replicas: number
  /** Lifetime of an access token, in seconds. */
  lifetime: number
  pacePerSecond: number
  signal: AbortSignal
  log: (line: string) => void
  violation: (kind: ViolationKind, text: string) => void
  databaseUrl?: string
  cluster?: PostgresCluster
  servedLimitMs?: number
  /** The folder of another version of the broker, which the first replica runs. */
  firstProgram?: string
}

const MIN_FIRST_LIFETIME = 8
const SERVED_LIMIT_MS = 5_000

/**
 * Creates the database, Redis, the sandbox with its accounts, and replicas behind their own
 * proxies.
 */
export async function openHarness(scope: TeardownScope, options: HarnessOptions): Promise<Harness> {
  const folder = await mkdtemp(join(tmpdir(), 'amo-torture-'))
  options.log(`logs of the brokers: ${folder}`)
  const { cluster } = options
  const databaseUrl = cluster?.url ?? options.databaseUrl ?? (await createDatabase(scope))
  const vault = await openVault(scope, databaseUrl, `torture-${randomUUID()}`)
  await recordHistory(vault.db)
  const sandbox = await buildSandbox({ accessTtlSeconds: options.lifetime, limits: false })
  scope.teardown(() => sandbox.close())
  const redis = await RedisServer.start(scope)
  const subjects = await createSandboxAccounts(scope, { sandbox, vault }, options)
  const random = createPrng(options.seed)
  for (const subject of subjects) {
    // The first lifetimes differ, so that the accounts are not all due at once.
    const first = MIN_FIRST_LIFETIME + Math.floor(random() * options.lifetime)
    await onboard({ sandbox, vault }, subject, first)
  }
  const journal = new Journal()
  const operatorKey = `amo_op_${randomBytes(24).toString('base64url')}`
  const env = brokerEnv(vault, operatorKey, options.pacePerSecond)
  const replicas: Replica[] = []
  for (let nth = 1; nth <= options.replicas; nth++) {
    const program = nth === 1 ? options.firstProgram : undefined
    replicas.push(await makeReplica(scope, { nth, folder, env, journal, vault, redis, program }))
  }
  cluster?.lead(replicas.flatMap(({ proxies }) => [proxies.postgres, proxies.listen]))
  const pulse = new Pulse(vault.db)
  const { seed, violation } = options
  const answers = new Answers()
  const callers = new Callers({
    sandbox,
    replicas,
    subjects,
    operatorKey,
    answers,
    seed,
    violation,
  })
  return {
    sandbox,
    vault,
    redis,
    cluster,
    servedLimitMs: options.servedLimitMs ?? SERVED_LIMIT_MS,
    postgresTurn: new Turn(),
    replicas,
    subjects,
    journal,
    pulse,
    callers,
    answers,
    incidents: new Incidents(options.log),
    busy: new Set(),
    reauthorized: new Map(),
    background: new Set(),
    redisLosses: [],
    operatorKey,
    folder,
    signal: options.signal,
  }
}

export function brokerEnv(
  { encryptionKeys, deploymentId }: Vault,
  operatorKey: string,
  pacePerSecond: number,
): Record<string, string> {
  return {
    ENCRYPTION_KEYS: encryptionKeys,
    DEPLOYMENT_ID: deploymentId,
    OPERATOR_KEY: operatorKey,
    PACE_PER_SECOND: String(pacePerSecond),
    SEND_LIMIT_MS: String(TIMES.sendLimitMs),
    LINGER_MS: String(TIMES.lingerMs),
    SETTLE_MS: String(TIMES.settleMs),
    READ_WAIT_MS: String(TIMES.readWaitMs),
    HEARTBEAT_MS: String(TIMES.heartbeatMs),
    LOG_LEVEL: 'info',
  }
}

/** Creates a replica with its proxies. It does not start it. */
export async function makeReplica(
  scope: TeardownScope,
  {
    nth,
    folder,
    env,
    journal,
    vault,
    redis,
    program,
  }: {
    nth: number
    folder: string
    env: Record<string, string>
    journal: Journal
    vault: Vault
    redis: { url: string }
    program?: string | undefined
  },
): Promise<Replica> {
  const databaseUrl = new URL(vault.databaseUrl)
  databaseUrl.searchParams.delete('options')
  const proxies = {
    postgres: await startProxy(scope, databaseUrl.href),
    listen: await startProxy(scope, databaseUrl.href),
    redis: await startProxy(scope, redis.url),
  }
  const [internalPort = 0, publicPort = 0] = await freePorts(2)
  const name = `r${nth}`
  const replica = new Replica({
    name,
    disk: await SmallDisk.mount(scope, join(folder, name)),
    internalPort,
    publicPort,
    folder,
    journal,
    proxies,
    program,
    env: {
      ...env,
      DATABASE_URL: proxies.postgres.url,
      DATABASE_DIRECT_URL: proxies.listen.url,
      REDIS_URL: proxies.redis.url,
    },
  })
  scope.teardown(async () => {
    if (replica.isStopped) replica.thaw()
    await replica.kill()
  })
  return replica
}
