import type { Secret } from '../vault/secret.ts'
import { type CallAnswer, CallFailed, call } from './call.ts'
import { allowedHost, type OAuthClient } from './profiles.ts'

const PROBE_LIMIT_MS = 10_000

export type TokenVerdict =
  | { verdict: 'alive'; accountId: number; domain: string | undefined }
  | { verdict: 'dead' }
  | { verdict: 'unclear'; failure: string }

/** Where to ask: at the API's host, which knows every account, or at the one that the account had last. */
export interface ProbeHost {
  host: string
  isApi: boolean
}

/**
 * Asks whether a refresh token is alive, and where its account is, without spending it (provider page, parts 4
 * and 5). With a weak probe `dead` is believed only as a problem document of the API's host: a host whose account was
 * renamed says 401 too, and so may any page in between.
 */
export async function probeRefreshToken(
  client: OAuthClient,
  { host, isApi }: ProbeHost,
  refreshToken: Secret,
): Promise<TokenVerdict> {
  if (client.profile.probe === 'none') return { verdict: 'unclear', failure: 'NO_PROBE' }
  const verdict = await ask(client, `https://${host}/oauth2/account/current/subdomain`, {
    'x-refresh-token': refreshToken.reveal(),
  })
  const isBelieved = isApi || client.profile.probe === 'strong'
  if (verdict.verdict === 'dead' && !isBelieved) return { verdict: 'unclear', failure: 'WEAK_401' }
  return verdict
}

/** Asks whether an access token is alive: `GET /api/v4/account` (provider page, part 12). */
export async function probeAccessToken(
  client: OAuthClient,
  host: string,
  accessToken: Secret,
): Promise<TokenVerdict> {
  return ask(client, `https://${host}/api/v4/account`, {
    authorization: `Bearer ${accessToken.reveal()}`,
  })
}

async function ask(
  client: OAuthClient,
  url: string,
  headers: Record<string, string>,
): Promise<TokenVerdict> {
  try {
    const answer = await call(client, {
      method: 'GET',
      url,
      headers: { ...headers, accept: 'application/json' },
      limitMs: PROBE_LIMIT_MS,
    })
    return judge(client, answer)
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
    return { verdict: 'unclear', failure: error.code }
  }
}

function judge(client: OAuthClient, answer: CallAnswer): TokenVerdict {
  const unclear: TokenVerdict = { verdict: 'unclear', failure: `HTTP ${answer.status}` }
  if (answer.status === 401 && answer.contentType === 'application/problem+json') {
    return { verdict: 'dead' }
  }
  if (answer.status !== 200) return unclear
  try {
    const { id, domain } = JSON.parse(answer.body)
    if (!Number.isSafeInteger(id)) return unclear
    const host = typeof domain === 'string' ? allowedHost(client.profile, domain) : undefined
    return { verdict: 'alive', accountId: id, domain: host }
  } catch {
    return unclear
  }
}
