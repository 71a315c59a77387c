import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'

/** A span as a collector sees it. */
export interface ReceivedSpan {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  attributes: Record<string, string | number>
  /** Ids of the traces that it is linked to. */
  links: string[]
}

interface OtlpSpan extends Omit<ReceivedSpan, 'attributes' | 'links'> {
  attributes: { key: string; value: { stringValue?: string; intValue?: number } }[]
  links: { traceId: string }[]
}

interface OtlpRequest {
  resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[]
}

export interface OtlpReceiver {
  url: string
  spans: ReceivedSpan[]
  /** Everything that arrived, as it was sent. */
  raw(): string
}

/** Starts a collector that speaks OTLP/HTTP with JSON and keeps what arrives. */
export async function startOtlpReceiver(t: Test): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = []
  let raw = ''
  const server = createServer(async (request, response) => {
    const body = await text(request)
    raw += body
    for (const { scopeSpans } of (JSON.parse(body) as OtlpRequest).resourceSpans) {
      spans.push(...scopeSpans.flatMap((scope) => scope.spans).map(readSpan))
    }
    response.setHeader('content-type', 'application/json').end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, spans, raw: () => raw }
}

function readSpan({ attributes, links, ...span }: OtlpSpan): ReceivedSpan {
  const values = attributes.map(({ key, value: { stringValue, intValue } }) => [
    key,
    stringValue ?? Number(intValue),
  ])
  return {
    ...span,
    attributes: Object.fromEntries(values),
    links: links.map(({ traceId }) => traceId),
  }
}
