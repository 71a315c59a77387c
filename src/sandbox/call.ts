import { once } from 'node:events'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { BookEntry, Endpoint } from './books.ts'
import type { Credential } from './credentials.ts'
import type { Account } from './directory.ts'
import type { Host } from './hosts.ts'
import { parseHost } from './hosts.ts'
import type { Answer, ContentCoding } from './refusals.ts'
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
  /** Undefined for API calls, which are only counted. */
  entry: BookEntry | undefined
  /**
   * The refresh token in a successful response. If the body that is written lacks it, the pair is
   * lost.
   */
  newRefreshToken: string | undefined
  /** The response that is about to be written. */
  answer: Answer | undefined
  /** The request is processed too late for a response. */
  isMute: boolean
  keepsOldAccess: boolean
  /** The probe reports every token as alive. */
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

/** Writes a response unchanged, and records in the books whether all of it was sent. */
export async function write(call: Call, answer: Answer): Promise<void> {
  if (call.isMute) return hold(call)
  const { entry, newRefreshToken, reply } = call
  reply.raw.once('finish', () => {
    const isWhole = newRefreshToken === undefined || answer.body.includes(newRefreshToken)
    if (entry !== undefined) entry.answered = isWhole
  })
  reply.hijack()
  if (reply.raw.destroyed) return
  const bytes = encoded(answer)
  reply.raw.writeHead(answer.status, headersOf(answer, bytes))
  reply.raw.end(bytes)
}

/** Never responds. The connection stays open until the client closes it. */
export async function hold(call: Call): Promise<void> {
  call.reply.hijack()
  await hungUp(call)
}

/** Cuts the connection with a reset, unless `how` asks for an orderly close. */
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
  const bytes = encoded(answer)
  raw.writeHead(answer.status, headersOf(answer, bytes))
  const half = bytes.subarray(0, Math.floor(bytes.length / 2))
  await new Promise<void>((resolve) => raw.write(half, () => resolve()))
  raw.socket?.destroy()
}

/** Resolves when the client has closed its connection, or the sandbox closes. */
export async function hungUp(call: Call): Promise<void> {
  if (call.reply.raw.destroyed) return
  await once(call.reply.raw, 'close', { signal: call.world.closing }).catch(() => {})
}

const ENCODE: Record<ContentCoding, (bytes: Buffer) => Buffer> = {
  gzip: (bytes) => gzipSync(bytes),
  deflate: (bytes) => deflateSync(bytes),
  br: (bytes) => brotliCompressSync(bytes),
  zstd: (bytes) => zstdCompressSync(bytes),
}

function encoded({ body, coding }: Answer): Buffer {
  const bytes = Buffer.from(body)
  return coding === undefined ? bytes : ENCODE[coding](bytes)
}

function headersOf(answer: Answer, bytes: Buffer) {
  const common = { server: 'nginx', 'cache-control': 'no-store' }
  if (answer.status === 204) return common
  return {
    ...common,
    'content-type': answer.contentType,
    'content-length': bytes.length,
    ...(answer.coding === undefined ? {} : { 'content-encoding': answer.coding }),
  }
}
