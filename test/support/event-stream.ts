import type { Test } from 'tap'

interface StreamedEvent {
  id: string | undefined
  event: string
  // biome-ignore lint/suspicious/noExplicitAny: what tests assert is the shape itself
  data: any
}

export interface OpenStream {
  /** The events so far. */
  events: StreamedEvent[]
  /** The id of the last block that had one, to continue after. */
  lastId: string | undefined
  /** Resolves when the broker ends the stream or the connection is lost. */
  ended: Promise<void>
  close(): void
}

/** Opens `GET /events/stream` and collects its events. It ends with the test. */
export async function openStream(
  t: Pick<Test, 'teardown'>,
  url: string,
  key: string,
  from: { after?: number; lastId?: string | undefined } = {},
): Promise<OpenStream> {
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const query = from.after === undefined ? '' : `?after=${from.after}`
  const response = await fetch(`${url}/events/stream${query}`, {
    headers: {
      authorization: `Bearer ${key}`,
      ...(from.lastId === undefined ? {} : { 'last-event-id': from.lastId }),
    },
    signal: abort.signal,
  })
  if (!response.ok || response.body === null) {
    throw new Error(`no stream: ${response.status} ${await response.text()}`)
  }
  const stream: OpenStream = {
    events: [],
    lastId: from.lastId,
    ended: Promise.resolve(),
    close: () => abort.abort(),
  }
  stream.ended = collect(response.body, stream).catch(() => {})
  return stream
}

async function collect(body: ReadableStream<Uint8Array>, stream: OpenStream): Promise<void> {
  let text = ''
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + chunk).split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
      stream.lastId = field('id') ?? stream.lastId
      const [id, event, data] = [field('id'), field('event'), field('data')]
      if (event !== undefined && data !== undefined) {
        stream.events.push({ id, event, data: JSON.parse(data) })
      }
    }
  }
}
