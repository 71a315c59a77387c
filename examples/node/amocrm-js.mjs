// amocrm-js sends by itself, so it gets a token before each call. After a 401 the token is reported
// and the call repeated.

import { AmoTokenClient } from 'amo-token-client'
import { Client } from 'amocrm-js'
import { run } from './run.mjs'

const broker = new AmoTokenClient({ url: process.env.BROKER_URL, key: process.env.BROKER_KEY })
const amo = new Client({
  domain: 'demo.amocrm.ru',
  auth: {
    client_id: 'kept by the broker',
    client_secret: 'kept by the broker',
    redirect_uri: 'kept by the broker',
    state: 'unused',
  },
})

async function get(path, isRepetition = false) {
  const { accessToken, expiresAt } = await broker.getToken('demo')
  amo.token.setValue({
    token_type: 'Bearer',
    access_token: accessToken,
    refresh_token: 'kept by the broker',
    expires_in: 0,
    expires_at: expiresAt.getTime(),
  })
  try {
    return await amo.request.get(path)
  } catch (error) {
    if (error.data?.status !== 401 || isRepetition) throw error
    // This call meets the same 401: the client reports it and fetches the next token.
    await (await broker.fetch('demo', '/api/v4/account')).arrayBuffer()
    return get(path, true)
  }
}

await run(async () => (await get('/api/v4/account')).data.subdomain === 'demo')
