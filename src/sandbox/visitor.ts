import { request } from 'undici'

export interface VisitorAnswer {
  status: number
  contentType: string
  location: string | undefined
  text: string
  /** The body as JSON, or an empty object. */
  body: Record<string, unknown>
}

export interface VisitorRequest {
  json?: unknown
  form?: Record<string, string>
  headers?: Record<string, string>
  signal?: AbortSignal
}

/**
 * Creates a minimal HTTP client for tests and load. It calls one sandbox under any of its host
 * names, over a new connection each time, and follows no redirect.
 *
 * @throws the error of undici when the connection is cut
 */
export function createVisitor(origin: string) {
  async function send(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    host: string,
    path: string,
    { json, form, headers = {}, signal }: VisitorRequest = {},
  ): Promise<VisitorAnswer> {
    const written = json === undefined ? null : JSON.stringify(json)
    const body = form === undefined ? written : new URLSearchParams(form).toString()
    const type = form === undefined ? 'application/json' : 'application/x-www-form-urlencoded'
    const answer = await request(origin + path, {
      method,
      headers: { host, ...(body === null ? {} : { 'content-type': type }), ...headers },
      body,
      reset: true,
      signal: signal ?? null,
    })
    const text = await answer.body.text()
    const contentType = String(answer.headers['content-type'] ?? '')
    const { location } = answer.headers
    return {
      status: answer.statusCode,
      contentType,
      location: typeof location === 'string' ? location : undefined,
      text,
      body: contentType.includes('json') ? parse(text) : {},
    }
  }

  const own = new URL(origin).host
  return {
    send,
    token: (host: string, fields: Record<string, unknown>, options: VisitorRequest = {}) =>
      send('POST', host, '/oauth2/access_token', { json: fields, ...options }),
    probe: (host: string, refreshToken: string) =>
      send('GET', host, '/oauth2/account/current/subdomain', {
        headers: { 'x-refresh-token': refreshToken },
      }),
    api: (host: string, path: string, accessToken: string) =>
      send('GET', host, path, { headers: { authorization: `Bearer ${accessToken}` } }),
    control: (method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, json?: unknown) =>
      send(method, own, `/__sandbox${path}`, { json }),
  }
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
