import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

interface FrontRequest {
  method: string
  path: string
  key: string | undefined
  atMs: number
  /** The client hung up before a response. */
  isAborted: boolean
}

interface ScriptedAnswer {
  status: number
  headers?: Record<string, string>
  body?: unknown
}

export interface BrokerFront {
  url: string
  requests: FrontRequest[]
  /** Requests of the token contract, without the attempts to open the event stream. */
  tokenRequests(): FrontRequest[]
  /** Responses to the next token requests, instead of the broker's. */
  script: ScriptedAnswer[]
  /** Members that replace those of a token response. */
  patch: Record<string, unknown>
  /** `down`: connections are reset. `hung`: no response ever comes. */
  state: 'up' | 'down' | 'hung'
  /** Delays the broker's response by this time. */
  delayMs: number
  /** Offers an event stream. */
  offersEvents: boolean
  sendEvent(event: string, data: unknown): void
  streams(): number
}

/**
 * Starts an HTTP server between clients and a broker that can delay, change or refuse responses.
 */
export async function startFront(t: Test, brokerUrl: string): Promise<BrokerFront> {
  const streams = new Set<ServerResponse>()
  const front: BrokerFront = {
    url: '',
    requests: [],
    tokenRequests: () => front.requests.filter(({ path }) => path.startsWith('/tokens/')),
    script: [],
    patch: {},
    state: 'up',
    delayMs: 0,
    offersEvents: false,
    sendEvent(event, data) {
      for (const stream of streams) {
        stream.write(`id: 1\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
      }
    },
    streams: () => streams.size,
  }
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  front.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return front

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '' } = request
    const { authorization } = request.headers
    const seen: FrontRequest = {
      method,
      path,
      key: authorization?.replace('Bearer ', ''),
      atMs: Date.now(),
      isAborted: false,
    }
    front.requests.push(seen)
    response.on('close', () => {
      seen.isAborted = !response.writableFinished
    })
    let body = ''
    for await (const chunk of request) body += chunk
    if (front.state === 'down') return request.socket.resetAndDestroy() as never
    if (front.state === 'hung') return
    if (path === '/events/stream' && front.offersEvents) return stream(response)
    const scripted = path.startsWith('/tokens/') ? front.script.shift() : undefined
    if (scripted !== undefined) {
      response.writeHead(scripted.status, scripted.headers)
      response.end(JSON.stringify(scripted.body ?? {}))
      return
    }
    const answer = await fetch(brokerUrl + path, {
      method,
      headers: { authorization: authorization ?? '', 'content-type': 'application/json' },
      ...(method === 'POST' ? { body } : {}),
    })
    const text = await answer.text()
    if (front.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, front.delayMs))
    const retryAfter = answer.headers.get('retry-after')
    response.writeHead(answer.status, retryAfter === null ? {} : { 'retry-after': retryAfter })
    response.end(
      answer.status === 200 ? JSON.stringify({ ...JSON.parse(text), ...front.patch }) : text,
    )
  }

  function stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(': hello\n\n')
    streams.add(response)
    response.on('close', () => streams.delete(response))
  }
}
