import { once } from 'node:events'
import { createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { TeardownScope } from './teardown-scope.ts'

export interface ProxiedResponse {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: Buffer
}

/**
 * An HTTP proxy between broker and sandbox that changes responses, like a proxy of the provider.
 */
export interface MutatingProxy {
  origin: string
  /** The sandbox's origin. */
  leadTo(origin: string): void
  /** Changes the next response to a path. */
  mutateNext(path: string, change: (response: ProxiedResponse) => ProxiedResponse): void
  /** Responds to the next request to a path instead of the sandbox, which does not see it. */
  answerNext(path: string, response: ProxiedResponse): void
  /** True when the change has been made. */
  isDone(): boolean
}

export async function startMutatingProxy(t: TeardownScope): Promise<MutatingProxy> {
  let target = new URL('http://127.0.0.1:1')
  let rule: Parameters<MutatingProxy['mutateNext']> | undefined
  let inPlace: Parameters<MutatingProxy['answerNext']> | undefined
  const server = createServer(async (request, response) => {
    const { method, headers, url: path = '/' } = request
    const write = ({ status, headers, body }: ProxiedResponse) => {
      const length = { 'content-length': String(body.length) }
      response.writeHead(status, { ...headers, ...length }).end(body)
    }
    if (inPlace !== undefined && path.startsWith(inPlace[0])) {
      await buffer(request)
      write(inPlace[1])
      inPlace = undefined
      return
    }
    const { hostname, port } = target
    const upstream = send({ hostname, port, method, path, headers })
    upstream.on('error', () => response.destroy())
    upstream.end(await buffer(request))
    const [answer] = await once(upstream, 'response')
    const { 'transfer-encoding': _chunked, 'content-length': _length, ...kept } = answer.headers
    let result: ProxiedResponse = {
      status: answer.statusCode,
      headers: kept,
      body: await buffer(answer),
    }
    if (rule !== undefined && path.startsWith(rule[0])) {
      result = rule[1](result)
      rule = undefined
    }
    write(result)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    leadTo(origin) {
      target = new URL(origin)
    },
    mutateNext(...next) {
      rule = next
    },
    answerNext(...next) {
      inPlace = next
    },
    isDone: () => rule === undefined && inPlace === undefined,
  }
}
