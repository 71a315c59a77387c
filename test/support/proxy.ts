import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Scope } from './scope.ts'

/** `pass` hands through, `refuse` ends connections, `hang` accepts and keeps everything back until it passes again. */
export type ProxyMode = 'pass' | 'refuse' | 'hang'

/** A TCP proxy in front of a server, so that a test can take the server away and give it back. */
export interface TcpProxy {
  /** The server's URL with the proxy's address. */
  url: string
  set(mode: ProxyMode): void
  /** Every chunk takes this much longer, in both directions. */
  slow(ms: number): void
  /** Ends the connections that are open now; new ones pass. */
  cut(): void
  /**
   * The next request with this text reaches the server, which answers it; of the answer nothing comes back, or its first half, and
   * the connection is cut. Resolves when that has happened.
   */
  loseAnswerTo(text: string, part?: 'nothing' | 'half'): Promise<void>
  /** Forgets what `loseAnswerTo` waits for. */
  loseNothing(): void
  /** Ends all connections; new ones go to another server. */
  leadTo(target: string): void
}

interface Loss {
  text: Buffer
  part: 'nothing' | 'half'
  done: () => void
}

export async function startProxy(t: Scope, target: string): Promise<TcpProxy> {
  const links = new Set<Link>()
  const state: LinkState = { mode: 'pass', slowMs: 0, losses: [] }
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
  // The parameter would win over the proxy's address.
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
    leadTo(next) {
      upstreamAt = addressOf(next)
      cut()
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

  /** Does what the proxy's mode says now. */
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

  /** In order, also when the delay changes meanwhile. */
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
