import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from '@commander-js/extra-typings'
import { wholeNumber } from '../common/options.ts'
import { type Consent, consent } from './demo-consent.ts'

const FOLDER = '.demo'
const BROKER = join(import.meta.dirname, '../../main.ts')
const SANDBOX = join(import.meta.dirname, '../../sandbox/main.ts')
/** Short enough to see refreshes, long enough to type the command that is printed. */
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

/** Defines `demo`. */
export function defineDemo(command: Command): void {
  command
    .option('--seconds <seconds>', 'end after this time (default: at Ctrl-C)', wholeNumber)
    .addHelpText(
      'after',
      `
Connects the account "demo" through the real consent flow, then reads its token
once a second while the broker refreshes it. Uses embedded storage and needs
nothing else.

Ports: INTERNAL_PORT (3000), PUBLIC_PORT (3001), SANDBOX_PORT (3002)
Addresses in a container: INTERNAL_HOST, PUBLIC_HOST, SANDBOX_HOST (127.0.0.1)
Files: .demo/ in the working directory, created anew every time

Example:
  $ amo-broker demo --seconds 30`,
    )
    .action(({ seconds }) => runDemo(seconds))
}

/** Runs until `seconds` have passed or a signal arrives, then ends the process. */
async function runDemo(seconds = Number.POSITIVE_INFINITY): Promise<void> {
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
  const { PATH, INTERNAL_HOST, PUBLIC_HOST, SANDBOX_HOST } = process.env
  const env = {
    PATH,
    INTERNAL_HOST,
    PUBLIC_HOST,
    SANDBOX_HOST,
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
  start('sandbox', SANDBOX, env)
  say(`2. broker, with embedded storage  ${broker}/console`)
  start('broker', BROKER, {
    ...env,
    AMO_SANDBOX_ORIGIN: sandbox,
    DATA_DIR: join(FOLDER, 'data'),
    ENCRYPTION_KEYS: `demo:${randomBytes(32).toString('base64')}`,
  })
  await waitFor(`${sandbox}/__sandbox/stats`)
  await waitFor(`${broker}/health/ready`)
  const key = (await readFile(join(FOLDER, 'data', 'operator.key'), 'utf8')).trim()
  const person: Consent = { broker, key, integration: 'amocrm', account: 'demo', onStep: say }
  say('3. connecting the account "demo", as an administrator would:')
  await consent(person)
  say(await signInText(key))
  say(`
Fetch its token, as a service would:

  curl -s -H "Authorization: Bearer $(cat ${FOLDER}/data/operator.key)" ${broker}/tokens/demo

Check it, as an operator would:

  DATA_DIR=${FOLDER}/data${elsewhere()} npx amo-broker check demo

Reading it once a second. Tokens live ${TOKEN_SECONDS} s. The broker's log is
${FOLDER}/broker.log. Press Ctrl-C to end.
`)
  await watch(key, seconds)
  await stop(0)
}

/** Returns the link to the console. It goes to a terminal only, so that no file has it. */
async function signInText(key: string): Promise<string> {
  if (!process.stdout.isTTY) return `\nThe console: ${broker}/console`
  const response = await fetch(`${broker}/console-links`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
  })
  const { url } = (await response.json()) as { url: string }
  return `\nSee it in the console. The link works once, for five minutes:\n\n  ${url}`
}

/** Returns the setting that tells the command line about an unusual port. */
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

/** Plays a service: reads the token, uses it, and reports each new one. */
async function watch(key: string, seconds: number): Promise<void> {
  let generation = 0
  let accepted = 0
  let refused = 0
  for (let second = 1; second <= seconds && !isStopping; second += 1) {
    if (second > 1) await delay(1000)
    const response = await fetch(`${broker}/tokens/demo`, {
      headers: { authorization: `Bearer ${key}` },
    })
    if (!response.ok) {
      const { title, code } = (await response.json()) as { title: string; code: string }
      say(`   no token: ${title} (${code})`)
      continue
    }
    const token = (await response.json()) as Token
    const used = await fetch(`${token.api_url}/api/v4/account`, {
      headers: { authorization: `Bearer ${token.access_token}` },
    })
    if (used.status === 200) accepted += 1
    else refused += 1
    if (token.generation !== generation) {
      say(
        `   generation ${token.generation}: expires in ${token.expires_in} s, use it for ${token.use_for} s`,
      )
      generation = token.generation
    }
    if (second % REPORT_SECONDS === 0 || second === seconds) await report(accepted, refused)
  }
}

async function report(accepted: number, refused: number): Promise<void> {
  const response = await fetch(`${sandbox}/__sandbox/stats`)
  const stats = (await response.json()) as { refreshes: number; reused_refresh_tokens: number }
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

async function waitFor(url: string): Promise<void> {
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

/** Ends the two child processes, waits for them, and exits. */
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
