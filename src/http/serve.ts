import { setTimeout as delay } from 'node:timers/promises'
import { type DestinationStream, type Logger, pino } from 'pino'
import { openBroker } from '../broker.ts'
import type { Config } from '../config/load-config.ts'
import { readOrCreateOperatorKey } from '../config/operator-key.ts'
import { requestFields } from '../lib/request-context.ts'
import { serializeError } from '../lib/serialize-error.ts'
import { closeListener } from './close-listener.ts'
import { buildInternalApp } from './internal.ts'
import { buildPublicApp } from './public.ts'

/**
 * Opens the broker and its listeners. Resolves when the broker is ready.
 *
 * @param open Everything that must be closed registers here: the listeners close first, because
 *   they use the broker.
 */
export async function serve(
  config: Config,
  log: Logger,
  open: AsyncDisposableStack,
): Promise<void> {
  const operatorKey = config.operatorKey ?? (await readOrCreateOperatorKey(config.dataDir, log))
  const broker = await openBroker({ ...config, operatorKey }, log)
  open.defer(() => broker.close())
  const { trustProxy, internalTls, brandName } = config
  const options = { broker, log, operatorKey, trustProxy, internalTls, brandName }
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

/** Creates the log. It goes to standard output unless a destination is given. */
export function createLog(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    mixin: requestFields,
    serializers: { err: serializeError },
    redact: ['*.authorization', '*.cookie', '*["set-cookie"]'],
  }
  return destination === undefined ? pino(options) : pino(options, destination)
}
