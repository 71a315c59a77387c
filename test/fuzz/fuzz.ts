import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createMutator, type Mutant, type Operation } from './mutations.ts'

/**
 * Few failures per address, so that the routes respond and not the limits on requests and guessing.
 */
const REQUESTS_AN_ADDRESS = 12
/** Operations that must be open without a key. */
const OPEN = /^\/(health\/(live|ready)|metrics|openapi\.json|docs)/
/** Secrets and internals of the broker that no response may contain. */
const LEAK =
  /def502[0-9a-f]{16}|canary-client-secret|amo_op_test|node_modules|\.ts:\d+|\bat async\b|select |insert into|syntax error/i
const ANSWER_LIMIT_MS = 20_000

export interface Listener {
  url: string
  isInternal: boolean
  operations: Operation[]
}

export interface FuzzResult {
  requests: number
  statuses: Record<string, number>
  /** Violations, each with the request that shows it. */
  findings: string[]
}

/**
 * Sends malformed requests to the listeners and checks every response. They go raw over TCP,
 * because an HTTP client would correct them.
 */
export async function fuzz(
  listeners: Listener[],
  options: {
    requests: number
    seed: number
    key: string
    lanes: number
    onProgress?: (sent: number) => void
  },
): Promise<FuzzResult> {
  const result: FuzzResult = { requests: 0, statuses: {}, findings: [] }
  const mutators = listeners.map(({ operations }, index) =>
    createMutator(operations, options.key, options.seed + index),
  )
  const lane = async () => {
    while (result.requests < options.requests) {
      const index = result.requests % listeners.length
      const [listener, mutate] = [listeners[index], mutators[index]]
      if (listener === undefined || mutate === undefined) return
      const address = Math.floor(result.requests / REQUESTS_AN_ADDRESS)
      result.requests += 1
      const mutant = mutate()
      const answer = await send(listener.url, addressOf(address), mutant)
      checkResponse(result, listener, mutant, answer)
      options.onProgress?.(result.requests)
    }
  }
  await Promise.all(Array.from({ length: options.lanes }, lane))
  return result
}

/** Returns an address from 127.16.0.1 up. On Linux all of 127.0.0.0/8 is this machine. */
function addressOf(index: number): string {
  return `127.${16 + Math.floor(index / 65_000)}.${Math.floor(index / 250) % 250}.${1 + (index % 250)}`
}

async function send(url: string, localAddress: string, mutant: Mutant): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), localAddress })
  const { method, path, headers, body } = mutant
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const length = body === undefined ? [] : [`content-length: ${Buffer.byteLength(body)}`]
  const head = [
    `${method} ${path} HTTP/1.1`,
    'host: broker',
    'connection: close',
    ...lines,
    ...length,
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n${body ?? ''}`)
  return read(socket)
}

async function read(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => {
    chunks.push(chunk)
    // A stream does not end by itself.
    if (chunk.includes('text/event-stream')) socket.destroy()
  })
  socket.on('error', () => {})
  socket.setTimeout(ANSWER_LIMIT_MS, () => socket.destroy())
  await once(socket, 'close')
  return Buffer.concat(chunks).toString('latin1')
}

function checkResponse(
  result: FuzzResult,
  listener: Listener,
  mutant: Mutant,
  answer: string,
): void {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0)
  result.statuses[status] = (result.statuses[status] ?? 0) + 1
  const report = (what: string) =>
    result.findings.push(
      `${what}: ${listener.isInternal ? 'internal' : 'public'} ${JSON.stringify(mutant).slice(0, 600)} → ${answer.slice(0, 600)}`,
    )
  if (status === 0) report('no answer')
  if (status >= 500) report(`${status}`)
  const isOpen = OPEN.test(mutant.path) || !listener.isInternal || mutant.method === 'OPTIONS'
  if (mutant.isKeyless && !isOpen && status < 400) report('let through without a key')
  const [, text = ''] = answer.split(/\r\n\r\n([\s\S]*)/)
  const isDescription = /^\/(docs|openapi)/.test(mutant.path)
  if (!isDescription && LEAK.test(text)) report('leak')
}
