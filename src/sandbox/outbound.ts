import { request } from 'undici'
import { isLoopback } from './hosts.ts'

export interface OutboundCall {
  purpose: 'install' | 'exchange_api_key' | 'disconnect' | 'secrets'
  method: 'GET' | 'POST'
  url: URL
  budgetMs: number
  body?: string
  contentType?: string
}

/** What became of a call; the query is left out, since it carries the code. */
export interface OutboundResult {
  seq: number
  purpose: OutboundCall['purpose']
  at: number
  to: string
  /** Undefined when no answer came within the budget. */
  status: number | undefined
  error: string | undefined
  ms: number
}

export type Outbound = ReturnType<typeof createOutbound>

const REMEMBERED = 1_000

/**
 * The calls that the provider's own server makes: once, never again, no redirect followed, and
 * to this machine only.
 *
 * @param origin where all of them connect instead, with the meant host in `Host`
 */
export function createOutbound(origin: string | undefined, clock: () => number) {
  const results: OutboundResult[] = []
  let lastSeq = 0

  /** Makes a call and reports it; throws only when the address is not of this machine. */
  async function send(call: OutboundCall): Promise<OutboundResult> {
    const target = targetOf(call.url)
    const at = clock()
    const started = performance.now()
    const ending = await attempt(target, call)
    lastSeq += 1
    const result: OutboundResult = {
      seq: lastSeq,
      purpose: call.purpose,
      at,
      to: `${call.url.origin}${call.url.pathname}`,
      status: ending.status,
      error: ending.error,
      ms: Math.round(performance.now() - started),
    }
    results.push(result)
    if (results.length > REMEMBERED) results.shift()
    return result
  }

  function targetOf(url: URL): URL {
    if (origin !== undefined) return new URL(url.pathname + url.search, origin)
    if (isLoopback(url.href)) return url
    throw new Error(`${url.host} is not on this machine, and no callbackOrigin is set`)
  }

  return { send, canReach: (url: string) => origin !== undefined || isLoopback(url), results }
}

async function attempt(target: URL, call: OutboundCall) {
  const headers: Record<string, string> = { host: call.url.host, 'user-agent': 'amo-sandbox' }
  if (call.contentType !== undefined) headers['content-type'] = call.contentType
  try {
    const answer = await request(target, {
      method: call.method,
      headers,
      body: call.body ?? null,
      reset: true,
      signal: AbortSignal.timeout(call.budgetMs),
    })
    await answer.body.dump()
    return { status: answer.statusCode, error: undefined }
  } catch (error) {
    return { status: undefined, error: error instanceof Error ? error.name : 'unknown' }
  }
}
