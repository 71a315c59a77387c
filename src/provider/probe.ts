import { inSpan } from '../lib/spans.ts'
import { Type } from '../lib/type.ts'
import type { Secret } from '../vault/secret.ts'
import { CallFailed, type CallResponse, call, type ProviderCall } from './call.ts'
import { parseJson } from './parse-json.ts'
import { allowedHost, type OAuthClient } from './profiles.ts'

const PROBE_LIMIT_MS = 10_000

/**
 * The provider's answer about one token. `unclear`: it gave none, and `failure` names the reason.
 */
export type ProbeResult =
  | { state: 'alive'; accountId: number; domain: string | undefined }
  | { state: 'dead' }
  | { state: 'unclear'; failure: string }

/** The host to ask: the API's, which knows every account, or the last one of the account itself. */
export interface ProbeHost {
  host: string
  isApi: boolean
}

/**
 * Asks whether a refresh token is alive and where its account is, without spending the token
 * (docs/provider.md, parts 4 and 5). With a weak probe, `dead` is believed only as a problem
 * document of the API's host: the former host of a renamed account answers 401 too, and so may a
 * proxy.
 */
export async function probeRefreshToken(
  client: OAuthClient,
  { host, isApi }: ProbeHost,
  refreshToken: Secret,
  callProvider: ProviderCall = call,
): Promise<ProbeResult> {
  if (client.profile.probe === 'none') return { state: 'unclear', failure: 'NO_PROBE' }
  const url = `https://${host}/oauth2/account/current/subdomain`
  const headers = { 'x-refresh-token': refreshToken.reveal() }
  const result = await inSpan(
    'amo.probe',
    { host, probed: 'refresh_token' },
    () => ask(client, url, headers, callProvider),
    ({ state }) => state,
  )
  const isBelieved = isApi || client.profile.probe === 'strong'
  if (result.state === 'dead' && !isBelieved) return { state: 'unclear', failure: 'WEAK_401' }
  return result
}

/** Asks whether an access token is alive: `GET /api/v4/account` (docs/provider.md, part 12). */
export function probeAccessToken(
  client: OAuthClient,
  host: string,
  accessToken: Secret,
  callProvider: ProviderCall = call,
): Promise<ProbeResult> {
  const headers = { authorization: `Bearer ${accessToken.reveal()}` }
  return inSpan(
    'amo.probe',
    { host, probed: 'access_token' },
    () => ask(client, `https://${host}/api/v4/account`, headers, callProvider),
    ({ state }) => state,
  )
}

async function ask(
  client: OAuthClient,
  url: string,
  headers: Record<string, string>,
  callProvider: ProviderCall,
): Promise<ProbeResult> {
  try {
    const response = await callProvider(client, {
      method: 'GET',
      url,
      headers: { ...headers, accept: 'application/json' },
      limitMs: PROBE_LIMIT_MS,
    })
    return readResponse(client, response)
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
    return { state: 'unclear', failure: error.code }
  }
}

const Account = Type.Object({
  id: Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
  domain: Type.Optional(Type.Unknown()),
})

function readResponse(
  client: OAuthClient,
  { status, contentType, body }: CallResponse,
): ProbeResult {
  if (status === 401 && contentType === 'application/problem+json') return { state: 'dead' }
  const account = status === 200 ? parseJson(Account, body) : undefined
  if (account === undefined) return { state: 'unclear', failure: `HTTP ${status}` }
  const { id, domain } = account
  const host = typeof domain === 'string' ? allowedHost(client.profile, domain) : undefined
  return { state: 'alive', accountId: id, domain: host }
}
