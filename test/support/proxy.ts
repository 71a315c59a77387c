import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A TCP proxy in front of a server, so that a test can take the server away and give it back. */
export interface Proxy {
  /** The server's URL with the proxy's address. */
  url: string
  /** `pass` hands through, `refuse` ends connections, `hang` accepts and hands nothing through. */
  set(mode: 'pass' | 'refuse' | 'hang'): void
}

export async function startProxy(t: Test, target: string): Promise<Proxy> {
  const url = new URL(target)
  const defaultPort = url.protocol.startsWith('redis') ? 6379 : 5432
  const port = Number(url.port || defaultPort)
  const sockets = new Set<Socket>()
  let mode: 'pass' | 'refuse' | 'hang' = 'pass'
  const server = createServer((client) => {
    if (mode === 'refuse') return client.destroy()
    const upstream = connect(port, url.hostname)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('data', (chunk) => {
        if (mode === 'pass') to.write(chunk)
      })
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
    return undefined
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as { port: number }).port)
  return {
    url: url.href,
    set(next) {
      mode = next
      if (mode === 'refuse') for (const socket of sockets) socket.destroy()
    },
  }
}
