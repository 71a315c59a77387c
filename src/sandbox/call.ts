import { once } from 'node:events'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { BookEntry, Endpoint } from './books.ts'
import type { Credential } from './credentials.ts'
import type { Account } from './directory.ts'
import type { Host } from './hosts.ts'
import { parseHost } from './hosts.ts'
import type { Answer } from './refusals.ts'
import type { World } from './world.ts'

declare module 'fastify' {
  interface FastifyRequest {
    sandboxArrivedAt: number
  }
}

/** One request on its way through checks, faults and books. */
export interface Call {
  world: World
  request: FastifyRequest
  reply: FastifyReply
  endpoint: Endpoint
  host: Host
  account: Account | undefined
  clientId: string | undefined
  credential: Credential | undefined
  /** API calls have none: they are only counted. */
  entry: BookEntry | undefined
  /** The refresh token that a success hands out; without it in the body the pair is lost. */
  newRefreshToken: string | undefined
  /** What is about to be written. */
  answer: Answer | undefined
  /** Processed too late for an answer. */
  isMute: boolean
  keepsOldAccess: boolean
  /** The probe says alive whatever the token is. */
  isSaidAlive: boolean
}

export function openCall(
  world: World,
  request: FastifyRequest,
  reply: FastifyReply,
  endpoint: Endpoint,
): Call {
  return {
    world,
    request,
    reply,
    endpoint,
    host: parseHost(request.headers.host),
    account: undefined,
    clientId: undefined,
    credential: undefined,
    entry: undefined,
    newRefreshToken: undefined,
    answer: undefined,
    isMute: false,
    keepsOldAccess: world.settings.oldAccessTokenSurvives,
    isSaidAlive: false,
  }
}

/** Writes an answer as it stands, and notes in the books whether all of it left. */
export async function write(call: Call, answer: Answer): Promise<void> {
  if (call.isMute) return hold(call)
  const { entry, newRefreshToken, reply } = call
  reply.raw.once('finish', () => {
    const isWhole = newRefreshToken === undefined || answer.body.includes(newRefreshToken)
    if (entry !== undefined) entry.answered = isWhole
  })
  reply.hijack()
  if (reply.raw.destroyed) return
  reply.raw.writeHead(answer.status, headersOf(answer))
  reply.raw.end(answer.body)
}

/** Never answers: the connection stays open until the client hangs up. */
export async function hold(call: Call): Promise<void> {
  call.reply.hijack()
  await hungUp(call)
}

/** Cuts the connection: a reset unless `how` says that it is closed in good order. */
export function drop(call: Call, how: 'reset' | 'close' = 'reset'): void {
  call.reply.hijack()
  const { socket } = call.request.raw
  if (how === 'reset') socket.resetAndDestroy()
  else socket.destroy()
}

/** Writes the head and the first half of the body, then cuts the connection. */
export async function cut(call: Call, answer: Answer): Promise<void> {
  call.reply.hijack()
  const { raw } = call.reply
  if (raw.destroyed) return
  raw.writeHead(answer.status, headersOf(answer))
  const half = Buffer.from(answer.body).subarray(0, Math.floor(Buffer.byteLength(answer.body) / 2))
  await new Promise<void>((resolve) => raw.write(half, () => resolve()))
  raw.socket?.destroy()
}

/** Resolves when the client has closed its connection, or the sandbox closes. */
export async function hungUp(call: Call): Promise<void> {
  if (call.reply.raw.destroyed) return
  await once(call.reply.raw, 'close', { signal: call.world.closing }).catch(() => {})
}

function headersOf(answer: Answer) {
  const common = { server: 'nginx', 'cache-control': 'no-store' }
  if (answer.status === 204) return common
  return {
    ...common,
    'content-type': answer.contentType,
    'content-length': Buffer.byteLength(answer.body),
  }
}
