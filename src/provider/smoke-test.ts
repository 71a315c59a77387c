import type { Secret } from '../vault/secret.ts'
import { type CallAnswer, CallFailed, call } from './call.ts'
import type { OAuthClient } from './profiles.ts'

const CALL_LIMIT_MS = 10_000
/** The most that one page can hold (provider page, part 12). */
const LEADS_PAGE = 250

/** What is asked of the account's API, one after the other (provider page, part 12). */
const CALLS = {
  account: '/api/v4/account',
  users: '/api/v4/users',
  pipelines: '/api/v4/leads/pipelines',
  leads: `/api/v4/leads?limit=${LEADS_PAGE}`,
} as const

export type ApiCall = keyof typeof CALLS

/** How one call ended. */
export interface ApiCheck {
  name: ApiCall
  ok: boolean
  /** Null: there was no answer, `failure` says why. */
  status: number | null
  failure?: string
  ms: number
  /** How many there are; of leads, how many stand on the first page. */
  count?: number
  /** There are further pages. */
  more?: boolean
  accountId?: number
}

/** Asks the account, its users, pipelines and leads with an access token. Never throws for what the provider does. */
export async function smokeTest(
  client: OAuthClient,
  host: string,
  accessToken: Secret,
): Promise<ApiCheck[]> {
  const checks: ApiCheck[] = []
  for (const name of Object.keys(CALLS) as ApiCall[]) {
    checks.push(await check(client, name, `https://${host}${CALLS[name]}`, accessToken))
  }
  return checks
}

async function check(
  client: OAuthClient,
  name: ApiCall,
  url: string,
  accessToken: Secret,
): Promise<ApiCheck> {
  const beganMs = performance.now()
  const tookMs = () => Math.round(performance.now() - beganMs)
  try {
    const answer = await call(client, {
      method: 'GET',
      url,
      headers: { authorization: `Bearer ${accessToken.reveal()}`, accept: 'application/json' },
      limitMs: CALL_LIMIT_MS,
    })
    const { status } = answer
    const ok = status === 200 || (status === 204 && name === 'leads')
    return { name, ok, status, ms: tookMs(), ...(ok ? read(name, answer) : {}) }
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
    return { name, ok: false, status: null, failure: error.code, ms: tookMs() }
  }
}

function read(name: ApiCall, { status, body }: CallAnswer): Partial<ApiCheck> {
  if (status === 204) return { count: 0, more: false }
  try {
    const { id, _total_items, _embedded, _links } = JSON.parse(body)
    if (name === 'account') return Number.isSafeInteger(id) ? { accountId: id } : { ok: false }
    if (name === 'leads') {
      return { count: _embedded.leads.length, more: _links?.next !== undefined }
    }
    return { count: Number(_total_items ?? _embedded[name].length) }
  } catch {
    return { ok: false, failure: 'UNREADABLE' }
  }
}
