import { parseArgs } from 'node:util'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import { ConfigError } from '../config/checks.ts'
import { type Config, loadConfig } from '../config/load-config.ts'
import { findWeaknesses } from '../config/weaknesses.ts'
import { createLog, serve } from './serve.ts'

/**
 * Time for closing after the drain: a response on its way may take SEND_LIMIT_MS, and its commit is
 * retried.
 */
const CLOSE_LIMIT_MS = 60_000

const HELP = `Usage: npm start -- [options]     (in the image: node src/main.ts [options])

Runs the broker until SIGTERM. Settings come from the environment and .env; .env.example explains each.

  --hold    claims and sends nothing, serves existing tokens: after a restore, before amo-broker verify
  --help
`

/** Runs the process. Only this file ends it. */
export async function runBroker(): Promise<void> {
  const config = await readConfig()
  const log = createLog(config.logLevel)
  // Otherwise Node writes the warnings of libraries to stderr, as text.
  process.removeAllListeners('warning')
  process.on('warning', ({ name, message }) => log.warn({ name, message }, 'warning of a library'))
  for (const weakness of findWeaknesses(config)) log.warn(weakness, 'setting has a risk')
  if (process.env.HTTPS_PROXY || process.env.https_proxy) {
    log.warn('HTTPS_PROXY is set and not used: the provider is called directly')
  }
  try {
    const open = new AsyncDisposableStack()
    closeAtSignal(open, config.drainMs, log)
    await serve(config, log, open)
  } catch (error) {
    log.fatal({ err: error }, 'broker could not start')
    process.exitCode = 1
    log.flush()
    process.exit()
  }
}

/** Installed before anything is open, so that an early signal ends the process as well. */
function closeAtSignal(open: AsyncDisposableStack, drainMs: number, log: Logger): void {
  closeWithGrace({ delay: drainMs + CLOSE_LIMIT_MS, logger: false }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, 'broker failed')
    log.info({ signal }, 'broker stopping')
    await open.disposeAsync()
    log.info('broker stopped')
  })
}

/** Reads the options and the settings. Ends the process with one line for each problem. */
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
