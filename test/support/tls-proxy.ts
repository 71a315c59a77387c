import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import type { Certificates } from './certificates.ts'

/** Length of PostgreSQL's SSLRequest message. The server responds with one letter. */
const SSL_REQUEST_BYTES = 8

export interface TlsProxy {
  port: number
  /** Number of connections that completed the TLS handshake. */
  readonly secured: number
}

/**
 * Accepts TLS connections in front of a server without TLS. A PostgreSQL client asks for TLS in
 * plain text first.
 */
export async function startTlsProxy(
  t: Test,
  target: URL,
  { server: { cert, key } }: Certificates,
): Promise<TlsProxy> {
  const isPostgres = target.protocol.startsWith('postgres')
  const port = Number(target.port || (isPostgres ? 5432 : 6379))
  const sockets = new Set<Socket>()
  let secured = 0
  const server = createServer(async (plain) => {
    sockets.add(plain)
    plain.on('error', () => {})
    if (isPostgres) {
      const [request] = await once(plain, 'data').catch(() => [Buffer.alloc(0)])
      if (request.length !== SSL_REQUEST_BYTES) {
        plain.destroy()
        return
      }
      plain.write('S')
    }
    const client = new TLSSocket(plain, { isServer: true, cert, key })
    client.on('error', () => {})
    client.on('secure', () => {
      secured += 1
    })
    const upstream = connect(port, target.hostname)
    sockets.add(upstream)
    upstream.on('error', () => {})
    client.pipe(upstream).pipe(client)
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    get secured() {
      return secured
    },
  }
}
