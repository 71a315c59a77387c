// @shevernitskiy/amo has no option for a fetch, so the global one is replaced for the account's host.
// The SDK gets a token that never ends: it never refreshes by itself.
import { Amo } from '@shevernitskiy/amo'
import { AmoTokenClient } from 'amo-token-client'
import { run } from './run.mjs'

const plainFetch = globalThis.fetch
const broker = new AmoTokenClient({
  url: process.env.BROKER_URL,
  key: process.env.BROKER_KEY,
  fetch: plainFetch,
})
const DOMAIN = 'demo.amocrm.ru'
globalThis.fetch = (input, init) =>
  new URL(input.url ?? input).host === DOMAIN
    ? broker.fetch(DOMAIN, input, init)
    : plainFetch(input, init)

const amo = new Amo(DOMAIN, {
  client_id: 'kept by the broker',
  client_secret: 'kept by the broker',
  redirect_uri: 'kept by the broker',
  token_type: 'Bearer',
  access_token: 'added by the broker client',
  refresh_token: 'kept by the broker',
  expires_in: 0,
  expires_at: Number.POSITIVE_INFINITY,
})

await run(async () => (await amo.account.getAccount()).subdomain === 'demo')
