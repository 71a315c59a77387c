import type { CallRequest, CallResponse } from '../../../src/provider/call.ts'

export const REVOKED: CallResponse = {
  status: 401,
  contentType: 'application/problem+json',
  retryAfterSeconds: undefined,
  body: JSON.stringify({ hint: 'Token has been revoked', status: 401 }),
  isWhole: true,
}
/** Refusals which prove that the token was not spent. */
export const REFUSALS: CallResponse[] = [
  { ...REVOKED, status: 429, contentType: 'text/plain', body: 'Too Many Requests' },
  { ...REVOKED, status: 403, contentType: 'text/html', body: '<h1>403</h1>' },
  { ...REVOKED, status: 404, body: JSON.stringify({ status: 404 }) },
]

/** The kind of a request, and its token. */
export function readRequest({ url, headers, body }: CallRequest): { name: string; token: string } {
  const probed = headers['x-refresh-token']
  if (probed !== undefined) return { name: 'probe', token: probed }
  if (url.endsWith('/api/v4/account'))
    return { name: 'access probe', token: headers.authorization?.replace('Bearer ', '') ?? '' }
  const { refresh_token } = JSON.parse(body ?? '{}')
  return { name: 'send', token: String(refresh_token) }
}
