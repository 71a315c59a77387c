// Calls the broker with types that openapi-typescript made from openapi/openapi.json.
import createClient from 'openapi-fetch'
import type { paths } from './broker.d.ts'

const { BROKER_URL = '', BROKER_KEY = '' } = process.env
const client = createClient<paths>({
  baseUrl: BROKER_URL,
  headers: { authorization: `Bearer ${BROKER_KEY}` },
})
const demo = { account: 'demo' }

const read = await client.GET('/tokens/{account}', {
  params: { path: demo, query: { min_ttl: 1 } },
})
if (read.data === undefined) throw new Error(read.error.code)
const { access_token, api_url, generation, use_for } = read.data

const etag = read.response.headers.get('etag') ?? ''
const unchanged = await client.GET('/tokens/{account}', {
  params: { path: demo, header: { 'If-None-Match': etag } },
})

const report = await client.POST('/tokens/{account}/refresh', {
  params: { path: demo },
  body: { generation },
})

const missing = await client.GET('/tokens/{account}', { params: { path: { account: 'nobody' } } })
if (missing.error?.code === 'reauth_required') openForAdministrator(missing.error.connect_url)
// @ts-expect-error: a code that the broker does not have
if (missing.error?.code === 'token_is_tired') throw new Error('impossible')
// @ts-expect-error: a member of another code
if (missing.error?.code === 'pending') openForAdministrator(missing.error.connect_url)

const created = await client.POST('/clients', {
  body: { name: 'generated', role: 'reader', grants: [{ integration: 'amocrm', account: 'demo' }] },
})
// @ts-expect-error: a role that does not exist
const refused = await client.POST('/clients', { body: { name: 'wrong', role: 'king' } })

const page = await client.GET('/accounts')

function openForAdministrator(url: string): void {
  throw new Error(`nobody opens ${url}`)
}

const results = {
  token: typeof access_token,
  api_url,
  use_for: use_for satisfies number,
  unchanged: unchanged.response.status,
  reported: report.data?.account_id,
  missing: missing.error?.code,
  key: created.data?.key.slice(0, 'amo_broker_'.length),
  refused: refused.error?.code,
  accounts: page.data?.accounts.map(({ domain, status }) => `${domain} ${status}`),
}
console.log(JSON.stringify(results))
