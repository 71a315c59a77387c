import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import closeWithGrace from 'close-with-grace'
import { type Logger, pino } from 'pino'
import { buildInternalApp, buildPublicApp } from './app.ts'
import { Broker } from './broker.ts'
import { closeListener } from './close-listener.ts'
import { type Config, loadConfig } from './config.ts'
import { ConfigError } from './config-checks.ts'
import { serializeError } from './plugins/serialize-error.ts'
import { Secret } from './vault/secret.ts'

/** Answers on their way have SEND_LIMIT_MS to come; a commit is tried again until then. */
const CLOSE_LIMIT_MS = 60_000
const OPERATOR_KEY_BYTES = 24

const HELP = `Usage: npm start -- [options]     (in the image: node src/main.ts [options])

Runs the broker until SIGTERM. Settings come from the environment and .env; .env.example explains each.

  --hold    claims and sends nothing, serves what there is: after a restore, before npm run verify
  --help
`

await main()

/** The process: config, broker, listeners, and the only place that ends it. */
async function main(): Promise<void> {
  const config = await readConfig()
  const log = pino({
    level: config.logLevel,
    serializers: { err: serializeError },
    redact: ['*.authorization', '*.cookie', '*["set-cookie"]'],
  })
  try {
    await run(config, log)
  } catch (error) {
    log.fatal({ err: error }, 'broker could not start')
    process.exitCode = 1
    log.flush()
    process.exit()
  }
}

async function run(config: Config, log: Logger): Promise<void> {
  // What is open, to be closed in the opposite order: the listeners first, for they use the broker.
  const open = new AsyncDisposableStack()
  // Before anything is open: a signal that comes early ends the process as well.
  closeWithGrace(
    { delay: config.drainMs + CLOSE_LIMIT_MS, logger: false },
    async ({ signal, err }) => {
      if (err) log.fatal({ err }, 'broker failed')
      log.info({ signal }, 'broker stopping')
      await open.disposeAsync()
      log.info('broker stopped')
    },
  )
  const operatorKey = config.operatorKey ?? (await ownOperatorKey(config.dataDir, log))
  const broker = await Broker.open(config, log)
  open.defer(() => broker.close())
  const { trustProxy, internalTls } = config
  const options = { broker, log, operatorKey, trustProxy, internalTls }
  const listeners = [
    [await buildInternalApp(options), config.internal, 'INTERNAL_PORT or INTERNAL_HOST'],
    [await buildPublicApp(options), config.public, 'PUBLIC_PORT or PUBLIC_HOST'],
  ] as const
  open.defer(async () => {
    broker.beginDraining()
    await delay(config.drainMs)
    await Promise.all(listeners.map(([app]) => closeListener(app)))
  })
  for (const [app, address, setting] of listeners) {
    await app.listen(address).catch((cause) => {
      throw new Error(`cannot listen on ${address.host}:${address.port}: set ${setting}`, { cause })
    })
  }
  await broker.start()
}

async function readConfig(): Promise<Config> {
  try {
    const flag = { type: 'boolean', default: false } as const
    const { values } = parseArgs({ options: { hold: flag, help: flag } })
    if (values.help) {
      process.stdout.write(HELP)
      process.exit(0)
    }
    const hold = values.hold ? { HOLD_SENDS: 'true' } : {}
    return await loadConfig({ ...process.env, ...hold })
  } catch (error) {
    if ((error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) {
      process.stderr.write(`amo-token-broker: ${(error as Error).message}\n\n${HELP}`)
      process.exit(1)
    }
    if (!(error instanceof ConfigError)) throw error
    for (const problem of error.problems) process.stderr.write(`amo-token-broker: ${problem}\n`)
    process.stderr.write('amo-token-broker: .env.example explains every setting\n')
    process.exit(1)
  }
}

/** Embedded mode alone: made once, readable by its owner. */
async function ownOperatorKey(dataDir: string, log: Logger): Promise<Secret> {
  const file = join(dataDir, 'operator.key')
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const made = `amo_op_${randomBytes(OPERATOR_KEY_BYTES).toString('base64url')}`
  try {
    await writeFile(file, made, { mode: 0o600, flag: 'wx' })
    log.info({ file }, 'operator key made')
    return new Secret(made)
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error
    return new Secret((await readFile(file, 'utf8')).trim())
  }
}
