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

/** The result of a call. Omits the query, which contains the code. */
export interface OutboundResult {
  seq: number
  purpose: OutboundCall['purpose']
  at: number
  to: string
  /** Undefined when no response came within the time limit. */
  status: number | undefined
  error: string | undefined
  ms: number
}

const REMEMBERED = 1_000

/**
 * Makes the calls of the provider's own server: each once, without repeats or redirects, and only
 * to this machine.
 *
 * @param origin replaces the origin of every call; the intended host is sent in `Host`
 */
export function createOutbound(origin: string | undefined, clock: () => number) {
  const results: OutboundResult[] = []
  let lastSeq = 0

  /** Makes a call and reports its result. Throws only when the address is not on this machine. */
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
