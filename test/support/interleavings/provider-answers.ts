import type { CallAnswer, CallRequest } from '../../../src/provider/call.ts'

export const REVOKED: CallAnswer = {
  status: 401,
  contentType: 'application/problem+json',
  retryAfterSeconds: undefined,
  body: JSON.stringify({ hint: 'Token has been revoked', status: 401 }),
  isWhole: true,
}
/** Each says that the token was not spent. */
export const REFUSALS: CallAnswer[] = [
  { ...REVOKED, status: 429, contentType: 'text/plain', body: 'Too Many Requests' },
  { ...REVOKED, status: 403, contentType: 'text/html', body: '<h1>403</h1>' },
  { ...REVOKED, status: 404, body: JSON.stringify({ status: 404 }) },
]

/** What is asked, and about which token. */
export function readRequest({ url, headers, body }: CallRequest): { name: string; token: string } {
  const probed = headers['x-refresh-token']
  if (probed !== undefined) return { name: 'probe', token: probed }
  if (url.endsWith('/api/v4/account'))
    return { name: 'access probe', token: headers.authorization?.replace('Bearer ', '') ?? '' }
  const { refresh_token } = JSON.parse(body ?? '{}')
  return { name: 'send', token: String(refresh_token) }
}
