import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import { startComposed } from './services-compose.ts'
import { type Start, startPostgres, startRedis } from './services-local.ts'
import { describeUrl, probePostgres, probeRedis } from './services-probe.ts'

export type Services = {
  databaseUrl: string
  redisUrl: string
  /** One line for each service: what was found and where. */
  how: string[]
  /** Stops only the servers that findServices started. */
  stop(): Promise<void>
}

export type FindOptions = {
  env?: NodeJS.ProcessEnv
  log?: (line: string) => void
  /** Cancels the search and stops the servers that it has started. */
  signal?: AbortSignal
}

/** Thrown when a service is missing. The message lists what was tried and what to start. */
export class ServicesNotFound extends Error {}

/**
 * Finds or starts a PostgreSQL and a Redis for the tests: from the environment, on the default
 * ports, from local binaries, or from docker compose, in this order. `TEST_SERVICES` set to `env`,
 * `running`, `local` or `compose` allows only that way.
 *
 * @throws {ServicesNotFound} when one of them is missing, or the environment names a dead one
 */
export async function findServices(options: FindOptions = {}): Promise<Services> {
  const { env = process.env, log = console.log, signal } = options
  const only = readOnly(env)
  await using stack = new AsyncDisposableStack()
  const start = { stack, signal }
  const search = { only, log, signal }
  const postgres = await findFirst('PostgreSQL', postgresWays(env, start), search)
  const redis = await findFirst('Redis', redisWays(env, start), search)
  if (!postgres.found || !redis.found) throw new ServicesNotFound(explain({ postgres, redis }))
  const started = stack.move()
  return {
    databaseUrl: postgres.found.url,
    redisUrl: redis.found.url,
    how: [postgres.found.how, redis.found.how],
    stop: () => started.disposeAsync(),
  }
}

const kinds = ['env', 'running', 'local', 'compose'] as const
type Kind = (typeof kinds)[number]

/** One way to find a service. `find` returns a URL to probe, or throws when there is none. */
type Way = {
  kind: Kind
  title: string
  find: () => Promise<string> | string
  probe: (url: string) => Promise<string>
}

type Found = { url: string; how: string }
type SearchOptions = {
  only: Kind | undefined
  log: (line: string) => void
  signal: AbortSignal | undefined
}
type Search = { found?: Found; tried: string[] }

function readOnly(env: NodeJS.ProcessEnv): Kind | undefined {
  const value = env.TEST_SERVICES
  if (!value || value === 'auto') return undefined
  const kind = kinds.find((each) => each === value)
  if (!kind) throw new ServicesNotFound(`TEST_SERVICES=${value}: known are ${kinds.join(', ')}`)
  return kind
}

function postgresWays(env: NodeJS.ProcessEnv, start: Start): Way[] {
  const probe = probePostgres
  const users = [...new Set([userInfo().username, 'postgres', 'root'])].map(encodeURIComponent)
  const atPort = users.map((user) => `postgresql://${user}@127.0.0.1:5432/postgres`)
  const sockets = ['/var/run/postgresql', '/tmp'].filter((folder) =>
    existsSync(`${folder}/.s.PGSQL.5432`),
  )
  // In pg and libpq the host parameter takes precedence over the host of the URL.
  const atSocket = sockets.flatMap((folder) =>
    users.map((user) => `postgresql://${user}@localhost/postgres?host=${folder}`),
  )
  return [
    fromEnv(env, 'TEST_DATABASE_URL', probe),
    { kind: 'running', title: '127.0.0.1:5432', find: () => firstAlive(atPort, probe), probe },
    { kind: 'running', title: 'unix socket', find: () => firstAlive(atSocket, probe), probe },
    { kind: 'local', title: 'local binaries', find: () => startPostgres(start), probe },
    { kind: 'compose', title: 'docker', find: () => startComposed('postgres', start), probe },
  ]
}

function redisWays(env: NodeJS.ProcessEnv, start: Start): Way[] {
  const probe = probeRedis
  return [
    fromEnv(env, 'TEST_REDIS_URL', probe),
    { kind: 'running', title: '127.0.0.1:6379', find: () => 'redis://127.0.0.1:6379', probe },
    { kind: 'local', title: 'local binary', find: () => startRedis(start), probe },
    { kind: 'compose', title: 'docker', find: () => startComposed('redis', start), probe },
  ]
}

function fromEnv(env: NodeJS.ProcessEnv, name: string, probe: Way['probe']): Way {
  const find = () => {
    const url = env[name]
    if (!url) throw new Error('not set')
    return url
  }
  // A server that was named explicitly must not be replaced by another one without notice.
  const probeNamed = (url: string) =>
    probe(url).catch((error: unknown) => {
      throw new ServicesNotFound(`${name} leads to ${describeUrl(url)}: ${reasonOf(error)}`)
    })
  return { kind: 'env', title: name, find, probe: probeNamed }
}

async function firstAlive(urls: string[], probe: Way['probe']): Promise<string> {
  const reasons = new Set<string>()
  for (const url of urls) {
    try {
      await probe(url)
      return url
    } catch (error) {
      reasons.add(reasonOf(error))
    }
  }
  throw new Error([...reasons].join('; ') || 'none')
}

async function findFirst(
  service: string,
  ways: Way[],
  { only, log, signal }: SearchOptions,
): Promise<Search> {
  const tried: string[] = []
  for (const { title, find, probe } of ways.filter(({ kind }) => !only || kind === only)) {
    signal?.throwIfAborted()
    try {
      const url = await find()
      const how = `${await probe(url)} at ${describeUrl(url)} (${title})`
      log(how)
      return { found: { url, how }, tried }
    } catch (error) {
      if (error instanceof ServicesNotFound) throw error
      signal?.throwIfAborted()
      const line = `${service}: ${title}: ${reasonOf(error)}`
      log(line)
      tried.push(line)
    }
  }
  return { tried }
}

function reasonOf(error: unknown): string {
  // Node reports a refused dual-stack connection as an AggregateError with an empty message.
  const inner = error instanceof AggregateError ? error.errors[0] : error
  return inner instanceof Error ? (inner.message.split('\n')[0] ?? inner.name) : String(inner)
}

function explain({ postgres, redis }: { postgres: Search; redis: Search }): string {
  const missing = [!postgres.found && 'PostgreSQL', !redis.found && 'Redis'].filter(Boolean)
  const tried = [postgres, redis].flatMap((search) => (search.found ? [] : search.tried))
  return `The tests need PostgreSQL 14 or newer and Redis. Missing: ${missing.join(' and ')}.

Tried:
${tried.map((line) => `  ${line}`).join('\n')}

Do one of these, then run the tests again:
  Debian   apt-get install postgresql redis-server   (installed is enough, the runner starts them)
  macOS    brew install postgresql@17 redis          (installed is enough)
  Docker   start the Docker daemon                   (the runner uses docker-compose.yml)
  other    TEST_DATABASE_URL=postgresql://user:password@host:5432/postgres \\
           TEST_REDIS_URL=redis://host:6379 npm test`
}
