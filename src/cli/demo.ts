import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Consent, consent } from './demo-consent.ts'

const FOLDER = '.demo'
/** Short enough to see rotations, long enough to type the command that is shown. */
const TOKEN_SECONDS = 10
const START_LIMIT_MS = 60_000
const REPORT_SECONDS = 15
const DEFAULT_PORT = 3000

const ports = {
  internal: Number(process.env.INTERNAL_PORT ?? DEFAULT_PORT),
  public: Number(process.env.PUBLIC_PORT ?? 3001),
  sandbox: Number(process.env.SANDBOX_PORT ?? 3002),
}
const broker = `http://127.0.0.1:${ports.internal}`
const sandbox = `http://127.0.0.1:${ports.sandbox}`
const children: ChildProcess[] = []
let isStopping = false

/**
 * A broker with embedded storage, a sandbox that plays amoCRM, and a sibling service that reads the token of one account, for so
 * many seconds or until somebody has seen enough. Ends the process.
 */
export async function runDemo(seconds = Number.POSITIVE_INFINITY): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop(0))
  try {
    await demo(seconds)
  } catch (error) {
    console.error(`\ndemo: ${(error as Error).message}`)
    await stop(1)
  }
}

async function demo(seconds: number): Promise<void> {
  await checkPorts()
  await rm(FOLDER, { recursive: true, force: true })
  await mkdir(FOLDER, { recursive: true })
  const clientSecret = randomBytes(24).toString('base64url')
  const env = {
    PATH: process.env.PATH,
    INTERNAL_PORT: String(ports.internal),
    PUBLIC_PORT: String(ports.public),
    SANDBOX_PORT: String(ports.sandbox),
    SANDBOX_ACCESS_TTL: String(TOKEN_SECONDS),
    SANDBOX_ACCOUNTS: 'amocrm:demo',
    AMO_CLIENT_ID: '00000000-0000-4000-8000-000000000001',
    AMO_CLIENT_SECRET: clientSecret,
    AMO_REDIRECT_URI: `http://127.0.0.1:${ports.public}/api/v1/integrations/amo-crm/callback`,
  }
  say(`1. sandbox, playing amoCRM        ${sandbox}/__sandbox/`)
  start('sandbox', 'src/sandbox/main.ts', env)
  say(`2. broker, with embedded storage  ${broker}/docs`)
  start('broker', 'src/main.ts', {
    ...env,
    AMO_SANDBOX_ORIGIN: sandbox,
    DATA_DIR: join(FOLDER, 'data'),
    ENCRYPTION_KEYS: `demo:${randomBytes(32).toString('base64')}`,
  })
  await answers(`${sandbox}/__sandbox/stats`)
  await answers(`${broker}/health/ready`)
  const key = (await readFile(join(FOLDER, 'data', 'operator.key'), 'utf8')).trim()
  const person: Consent = { broker, key, integration: 'amocrm', account: 'demo', onStep: say }
  say('3. connecting the account "demo", as a person would:')
  await consent(person)
  say(`
Fetch its token, as a sibling service would:

  curl -s -H "Authorization: Bearer $(cat ${FOLDER}/data/operator.key)" ${broker}/tokens/demo

Look at it as an operator would:

  DATA_DIR=${FOLDER}/data${elsewhere()} npx amo-broker check demo

Reading it once a second from here on; tokens live ${TOKEN_SECONDS} s. The broker's log: ${FOLDER}/broker.log. Ctrl-C ends.
`)
  await watch(key, seconds)
  await stop(0)
}

/** The command line looks for the broker at its usual port. */
function elsewhere(): string {
  return ports.internal === DEFAULT_PORT ? '' : ` INTERNAL_PORT=${ports.internal}`
}

interface Token {
  access_token: string
  api_url: string
  expires_in: number
  generation: number
  use_for: number
}

/** A sibling service: reads the token, uses it, and says when a new one came. */
async function watch(key: string, seconds: number): Promise<void> {
  let generation = 0
  let accepted = 0
  let refused = 0
  for (let second = 1; second <= seconds && !isStopping; second += 1) {
    const answer = await fetch(`${broker}/tokens/demo`, {
      headers: { authorization: `Bearer ${key}` },
    })
    const token = (await answer.json()) as Token
    const used = await fetch(`${token.api_url}/api/v4/account`, {
      headers: { authorization: `Bearer ${token.access_token}` },
    })
    if (used.status === 200) accepted += 1
    else refused += 1
    if (token.generation !== generation) {
      say(
        `   generation ${token.generation}: expires in ${token.expires_in} s, to be used for ${token.use_for} s`,
      )
      generation = token.generation
    }
    if (second % REPORT_SECONDS === 0 || second === seconds) await report(accepted, refused)
    await delay(1000)
  }
}

async function report(accepted: number, refused: number): Promise<void> {
  const answer = await fetch(`${sandbox}/__sandbox/stats`)
  const stats = (await answer.json()) as { refreshes: number; reused_refresh_tokens: number }
  say(
    `   ${accepted} tokens accepted by the API, ${refused} refused; ` +
      `${stats.refreshes} refreshes, ${stats.reused_refresh_tokens} re-used refresh tokens`,
  )
}

function start(name: string, script: string, env: Record<string, string | undefined>): void {
  const child = spawn(process.execPath, [script], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const log = createWriteStream(join(FOLDER, `${name}.log`))
  child.stdout.pipe(log)
  child.stderr.pipe(log)
  child.on('exit', (code) => {
    if (isStopping) return
    console.error(`\ndemo: the ${name} ended with code ${code}; see ${join(FOLDER, `${name}.log`)}`)
    stop(1)
  })
  children.push(child)
}

async function answers(url: string): Promise<void> {
  for (const endMs = performance.now() + START_LIMIT_MS; performance.now() < endMs; ) {
    const isUp = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    )
    if (isUp) return
    await delay(100)
  }
  throw new Error(`${url} does not answer; see the logs in ${FOLDER}/`)
}

async function checkPorts(): Promise<void> {
  for (const [name, port] of Object.entries(ports)) {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const server = createServer().once('error', reject).listen(port, '127.0.0.1', resolve)
    await promise.catch(() => {
      throw new Error(`port ${port} is taken: set ${name.toUpperCase()}_PORT to a free one`)
    })
    await new Promise((closed) => server.close(closed))
  }
}

/** Ends the two processes that were started here, and waits for them. */
async function stop(code: number): Promise<void> {
  if (isStopping) return
  isStopping = true
  const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)))
  for (const child of children) child.kill('SIGTERM')
  await Promise.race([Promise.all(ended), delay(5_000)])
  process.exit(code)
}

function say(line: string): void {
  console.log(line)
}
