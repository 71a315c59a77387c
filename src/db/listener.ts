import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { FailureChange } from '../lib/failure-change.ts'
import type { Subscription } from './database.ts'
import { codeOf, failureOf } from './failures.ts'
import type { BoundedClient } from './session.ts'

const RELISTEN_DELAY_MS = 500
const FIRST_LIMIT_MS = 2_000

/** The server refuses LISTEN, whatever is repeated. */
class NoListen extends Error {
  override readonly name = 'NoListen'

  constructor(code: string) {
    super(
      `PostgreSQL refuses LISTEN (${code}): this engine, or what stands in front of it, has none. Set DATABASE_DIRECT_URL to PostgreSQL itself.`,
    )
  }
}

/** Keeps one connection for LISTEN, and replaces it whenever it ends. */
export class Listener {
  readonly #connect: () => BoundedClient
  readonly #log: Logger
  readonly #closing = new AbortController()
  #client: BoundedClient | undefined
  #running: Promise<void> | undefined
  readonly #failure = new FailureChange()

  constructor(connect: () => BoundedClient, log: Logger) {
    this.#connect = connect
    this.#log = log
  }

  /**
   * Resolves once LISTEN is active. Waits in the background for a server that is down. Throws
   * `NoListen`.
   */
  async start(subscription: Subscription): Promise<void> {
    const first = Promise.withResolvers<void>()
    this.#running = this.#run(subscription, first)
    await Promise.race([first.promise, delay(FIRST_LIMIT_MS, undefined, { ref: false })])
  }

  reconnect(): void {
    this.#client?.connection.stream.destroy()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.reconnect()
    await this.#running
  }

  async #run(subscription: Subscription, first: PromiseWithResolvers<void>): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      const client = this.#connect()
      const ended = new Promise<void>((resolve) => client.once('end', resolve))
      client.on('notification', ({ channel, payload }) =>
        subscription.channels.get(channel)?.(payload ?? ''),
      )
      this.#client = client
      try {
        await client.connect()
        for (const channel of subscription.channels.keys()) {
          await client.query(`listen ${client.escapeIdentifier(channel)}`)
        }
        if (this.#failure.hasEnded()) this.#log.info('LISTEN works again')
        subscription.onConnected()
        first.resolve()
        await ended
      } catch (error) {
        if (!signal.aborted) this.#report(codeOf(error))
        // Only the start is refused: later, the statement is known to work.
        if (failureOf(error) === 'statement') first.reject(new NoListen(codeOf(error)))
      }
      client.end().catch(() => {})
      await delay(RELISTEN_DELAY_MS, undefined, { signal }).catch(() => {})
    }
  }

  #report(code: string): void {
    if (this.#failure.isNew({ code })) this.#log.warn({ code }, 'LISTEN connection failed')
  }
}
