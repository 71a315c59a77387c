import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPrng } from '../../src/sandbox/prng.ts'
import { buildSandbox } from '../../src/sandbox/sandbox.ts'
import { createDatabase } from '../support/database.ts'
import { freePorts } from '../support/ports.ts'
import { startProxy } from '../support/proxy.ts'
import type { Scope } from '../support/scope.ts'
import { createSubjects, onboard } from '../support/subjects.ts'
import { openVault, type Vault } from '../support/vault.ts'
import { Callers, type ViolationKind } from './callers.ts'
import { recordHistory } from './history.ts'
import { Incidents } from './incidents.ts'
import { Journal } from './journal.ts'
import { Pulse } from './pulse.ts'
import { RedisServer } from './redis-server.ts'
import { Replica } from './replica.ts'
import { type Stage, TIMES } from './stage.ts'

export interface StageOptions {
  seed: number
  accounts: number
  integrations: number
  replicas: number
  /** Seconds an access token lives. */
  lifetime: number
  pacePerSecond: number
  signal: AbortSignal
  log: (line: string) => void
  violation: (kind: ViolationKind, text: string) => void
  databaseUrl?: string
}

const MIN_FIRST_LIFETIME = 8

/** A database, a Redis, a sandbox, its accounts, and the replicas that keep them alive, each behind proxies of its own. */
export async function setStage(scope: Scope, options: StageOptions): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'amo-torture-'))
  options.log(`logs of the brokers: ${folder}`)
  const databaseUrl = options.databaseUrl ?? (await createDatabase(scope))
  const vault = await openVault(scope, databaseUrl, `torture-${randomUUID()}`)
  await recordHistory(vault.db)
  const sandbox = await buildSandbox({ accessTtlSeconds: options.lifetime, limits: false })
  scope.teardown(() => sandbox.close())
  const redis = await RedisServer.start(scope)
  const subjects = await createSubjects(scope, { sandbox, vault }, options)
  const random = createPrng(options.seed)
  for (const subject of subjects) {
    // Spread over a lifetime: they must not all be due at once.
    const first = MIN_FIRST_LIFETIME + Math.floor(random() * options.lifetime)
    await onboard({ sandbox, vault }, subject, first)
  }
  const journal = new Journal()
  const operatorKey = `amo_op_${randomBytes(24).toString('base64url')}`
  const env = brokerEnv(vault, operatorKey, options.pacePerSecond)
  const replicas: Replica[] = []
  for (let nth = 1; nth <= options.replicas; nth++) {
    replicas.push(await makeReplica(scope, { nth, folder, env, journal, vault, redis }))
  }
  const pulse = new Pulse(vault.db)
  const { seed, violation } = options
  const callers = new Callers({ sandbox, replicas, subjects, operatorKey, seed, violation })
  return {
    sandbox,
    vault,
    redis,
    replicas,
    subjects,
    journal,
    pulse,
    callers,
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

/** It is not started yet. */
export async function makeReplica(
  scope: Scope,
  {
    nth,
    folder,
    env,
    journal,
    vault,
    redis,
  }: {
    nth: number
    folder: string
    env: Record<string, string>
    journal: Journal
    vault: Vault
    redis: { url: string }
  },
): Promise<Replica> {
  const proxies = {
    postgres: await startProxy(scope, vault.databaseUrl),
    listen: await startProxy(scope, vault.databaseUrl),
    redis: await startProxy(scope, redis.url),
  }
  const [internalPort = 0, publicPort = 0] = await freePorts(2)
  const replica = new Replica({
    name: `r${nth}`,
    internalPort,
    publicPort,
    folder,
    journal,
    proxies,
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
