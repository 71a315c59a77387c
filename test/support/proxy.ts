import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { TeardownScope } from './teardown-scope.ts'

/**
 * `pass` forwards everything. `refuse` ends connections. `hang` accepts connections and forwards
 * nothing until the mode is `pass` again.
 */
export type ProxyMode = 'pass' | 'refuse' | 'hang'

/**
 * A TCP proxy in front of a server, so that a test can make the server unreachable and restore it.
 */
export interface TcpProxy {
  /** The server's URL with the proxy's address. */
  url: string
  set(mode: ProxyMode): void
  /** Delays every chunk in both directions. */
  slow(ms: number): void
  /** Ends the open connections. New ones are accepted. */
  cut(): void
  /**
   * Forwards the next request that contains `text`, drops the response or its second half, and ends
   * the connection. Resolves when that has happened.
   */
  loseAnswerTo(text: string, part?: 'nothing' | 'half'): Promise<void>
  /** Cancels every `loseAnswerTo` that has not happened yet. */
  loseNothing(): void
  /** Replaces bytes in every request from now on, by as many others. */
  replace(text: string, other: string): void
  /** Ends all connections. New ones go to another server. */
  leadTo(target: string): void
  /** New connections go to another server. Open ones stay, as after a change of DNS. */
  leadNewTo(target: string): void
}

interface Loss {
  text: Buffer
  part: 'nothing' | 'half'
  done: () => void
}

export async function startProxy(t: TeardownScope, target: string): Promise<TcpProxy> {
  const links = new Set<Link>()
  const state: LinkState = { mode: 'pass', slowMs: 0, losses: [], replaced: undefined }
  let upstreamAt = addressOf(target)
  const server = createServer((client) => {
    if (state.mode === 'refuse') return client.destroy()
    const link = new Link(client, connect(upstreamAt.port, upstreamAt.host), state)
    links.add(link)
    link.onEnd = () => links.delete(link)
    return undefined
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const link of links) link.end()
  }
  t.teardown(() => {
    cut()
    server.close()
  })
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as { port: number }).port)
  // This parameter would take precedence over the address of the proxy.
  url.searchParams.delete('host')
  return {
    url: url.href,
    set(mode) {
      state.mode = mode
      if (mode === 'refuse') cut()
      for (const link of links) link.follow()
    },
    slow(ms) {
      state.slowMs = ms
    },
    cut,
    loseAnswerTo: (text, part = 'nothing') =>
      new Promise((done) => state.losses.push({ text: Buffer.from(text), part, done })),
    loseNothing() {
      state.losses.length = 0
    },
    replace(text, other) {
      state.replaced = { text: Buffer.from(text), other: Buffer.from(other) }
    },
    leadTo(next) {
      upstreamAt = addressOf(next)
      cut()
    },
    leadNewTo(next) {
      upstreamAt = addressOf(next)
    },
  }
}

function addressOf(target: string): { host: string; port: number } {
  const { protocol, hostname, port } = new URL(target)
  return { host: hostname, port: Number(port || (protocol.startsWith('redis') ? 6379 : 5432)) }
}

interface LinkState {
  mode: ProxyMode
  slowMs: number
  losses: Loss[]
  replaced: { text: Buffer; other: Buffer } | undefined
}

/** One connection through the proxy. */
class Link {
  onEnd = () => {}
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #state: LinkState
  #losing: Loss | undefined
  readonly #waiting = new Map<Socket, Promise<void>>()

  constructor(client: Socket, upstream: Socket, state: LinkState) {
    this.#client = client
    this.#upstream = upstream
    this.#state = state
    client.on('data', (chunk: Buffer) => {
      this.#losing ??= this.#takeLoss(chunk)
      const { text, other } = state.replaced ?? {}
      const at = text === undefined ? -1 : chunk.indexOf(text)
      if (at >= 0) other?.copy(chunk, at)
      this.#hand(chunk, upstream)
    })
    upstream.on('data', (chunk: Buffer) => {
      if (this.#losing === undefined) return this.#hand(chunk, client)
      if (this.#losing.part === 'half') client.write(chunk.subarray(0, chunk.length / 2))
      this.#losing.done()
      this.end()
    })
    for (const socket of [client, upstream]) {
      socket.setNoDelay()
      socket.on('error', () => {})
      socket.on('close', () => this.end())
    }
    this.follow()
  }

  /** Applies the current mode of the proxy. */
  follow(): void {
    for (const socket of [this.#client, this.#upstream]) {
      if (this.#state.mode === 'hang') socket.pause()
      else socket.resume()
    }
  }

  end(): void {
    this.#client.destroy()
    this.#upstream.destroy()
    this.onEnd()
  }

  #takeLoss(chunk: Buffer): Loss | undefined {
    const at = this.#state.losses.findIndex(({ text }) => chunk.includes(text))
    return at === -1 ? undefined : this.#state.losses.splice(at, 1)[0]
  }

  /** Forwards chunks in their order, even when the delay changes in between. */
  #hand(chunk: Buffer, to: Socket): void {
    const { slowMs } = this.#state
    const waiting = this.#waiting.get(to)
    if (slowMs === 0 && waiting === undefined) {
      to.write(chunk)
      return
    }
    const sent = Promise.resolve(waiting)
      .then(() => delay(slowMs))
      .then(() => {
        to.write(chunk)
        if (this.#waiting.get(to) === sent) this.#waiting.delete(to)
      })
    this.#waiting.set(to, sent)
  }
}
