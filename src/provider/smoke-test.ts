import { Type } from '../lib/type.ts'
import type { Secret } from '../vault/secret.ts'
import { CallFailed, type CallResponse, call } from './call.ts'
import { parseJson } from './parse-json.ts'
import type { OAuthClient } from './profiles.ts'

const CALL_LIMIT_MS = 10_000
/** The largest page that the API returns (docs/provider.md, part 12). */
const LEADS_PAGE = 250

/** The requests to the account's API, in this order (docs/provider.md, part 12). */
const CALLS = {
  account: '/api/v4/account',
  users: '/api/v4/users',
  pipelines: '/api/v4/leads/pipelines',
  leads: `/api/v4/leads?limit=${LEADS_PAGE}`,
} as const

type ApiCall = keyof typeof CALLS

/** How one call ended. */
export interface ApiCheck {
  name: ApiCall
  ok: boolean
  /** Null: no response arrived, and `failure` names the reason. */
  status: number | null
  failure?: string
  ms: number
  /** The number of entries; of leads, only those on the first page. */
  count?: number
  /** True when there are more pages. */
  more?: boolean
  accountId?: number
}

/**
 * Reads the account, its users, pipelines and leads with an access token. A failure of the provider
 * is a result, not an exception.
 */
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

const Account = Type.Object({
  id: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
})
const Entries = Type.Object({
  _total_items: Type.Optional(Type.Unknown()),
  _embedded: Type.Record(Type.String(), Type.Unknown()),
  _links: Type.Optional(Type.Object({ next: Type.Optional(Type.Unknown()) })),
})
const UNREADABLE = { ok: false, failure: 'UNREADABLE' }

function read(name: ApiCall, { status, body }: CallResponse): Partial<ApiCheck> {
  if (status === 204) return { count: 0, more: false }
  if (name === 'account') {
    const account = parseJson(Account, body)
    return account === undefined ? UNREADABLE : { accountId: account.id }
  }
  const { _total_items: total, _embedded, _links } = parseJson(Entries, body) ?? {}
  const listed = _embedded?.[name]
  if (!Array.isArray(listed)) return UNREADABLE
  const count = listed.length
  if (name === 'leads') return { count, more: _links?.next !== undefined }
  return { count: Number.isSafeInteger(total) ? Number(total) : count }
}
