import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { type Caller, OPERATOR } from '../../clients/caller.ts'
import type { ClientDirectory } from '../../clients/directory.ts'
import { StreamHeaders, StreamQuery } from '../../contract/events.ts'
import { eventToJson } from '../../events/event-json.ts'
import type { EventFeed } from '../../events/feed.ts'
import type { StreamItem, Subscription } from '../../events/subscription.ts'
import { BrokerError } from '../../lib/errors.ts'
import { Type } from '../../lib/type.ts'
import { callerOf, keyOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'

/** A stream ends, or loses what a grant allowed, within this time. */
const CHECK_MS = 1_000
/** How long a browser waits before it opens the stream again. */
const RETRY_MS = 2_000

interface StreamRoutesOptions {
  directory: ClientDirectory
  events: { feed: EventFeed }
  consoleUrl: string
}

/** Streams events as they happen, as server-sent events. */
export const eventStreamRoutes: FastifyPluginAsyncTypebox<StreamRoutesOptions> = async (
  app,
  { directory, events, consoleUrl },
) => {
  const { feed } = events
  app.get('/events/stream', {
    schema: {
      operationId: 'streamEvents',
      tags: ['events'],
      summary: 'Streams events that the caller may see, as server-sent events',
      description:
        'The id of an event is its position. `token.invalidated` has none: `{"account", "integration", "generation"}` of a token that must not be used any more.',
      querystring: StreamQuery,
      headers: StreamHeaders,
      response: {
        200: {
          description: 'the stream; it ends when the key ends, and when the broker drains',
          content: { 'text/event-stream': { schema: Type.Unsafe<Readable>({ type: 'string' }) } },
        },
        ...problems(...COMMON_PROBLEMS, 'too_many_streams'),
      },
    },
    handler: async (request, reply) => {
      const after = readLastId(request.headers['last-event-id']) ?? request.query.after
      const caller = callerOf(request)
      const stream = await feed.open(caller, caller.keyId ?? caller.name, after)
      const check = setInterval(() => checkKey(directory, request, stream), CHECK_MS).unref()
      reply.raw.once('close', () => {
        clearInterval(check)
        feed.leave(stream)
      })
      // The client has gone meanwhile.
      if (reply.raw.destroyed) feed.leave(stream)
      reply.header('x-accel-buffering', 'no').type('text/event-stream')
      return reply.send(Readable.from(blocksOf(stream, consoleUrl), { highWaterMark: 1 }))
    },
  })
}

/** Throws `bad_request`. */
function readLastId(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new BrokerError('bad_request', 'Last-Event-ID must be the id of an event of this stream.')
}

/**
 * Ends the stream when its key is not valid any more, and otherwise brings its grants up to date.
 */
async function checkKey(
  directory: ClientDirectory,
  request: FastifyRequest,
  stream: Subscription,
): Promise<void> {
  if (stream.caller === OPERATOR) return
  try {
    const caller = await callerNow(directory, request)
    if (caller === undefined) stream.end()
    else stream.caller = caller
  } catch {
    // It is not known for too long which keys are valid.
    stream.end()
  }
}

async function callerNow(
  directory: ClientDirectory,
  request: FastifyRequest,
): Promise<Caller | undefined> {
  const header = request.headers.authorization ?? ''
  return directory.recognise(header) ?? (await directory.authenticate(keyOf(header) ?? '', header))
}

async function* blocksOf(stream: Subscription, consoleUrl: string): AsyncGenerator<string, void> {
  yield `retry: ${RETRY_MS}\n`
  for await (const item of stream.items()) yield blockOf(item, consoleUrl)
}

function blockOf(item: StreamItem, consoleUrl: string): string {
  if (item.kind === 'event') {
    const { event } = item
    const data = JSON.stringify(eventToJson(event, consoleUrl))
    return `id: ${event.position}\nevent: ${event.type}\ndata: ${data}\n\n`
  }
  if (item.kind === 'invalidated') {
    const { integration, accountId: account, generation } = item.invalidated
    const data = JSON.stringify({ account, integration, generation })
    return `event: token.invalidated\ndata: ${data}\n\n`
  }
  // Without data it is no event, but the receiver continues after this id.
  return `id: ${item.position}\n: nothing happened\n\n`
}
