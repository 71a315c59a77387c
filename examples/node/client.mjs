// Plain Node with amo-token-client: the three lines.
import { AmoTokenClient } from 'amo-token-client'
import { run } from './run.mjs'

const broker = new AmoTokenClient({ url: process.env.BROKER_URL, key: process.env.BROKER_KEY })

await run(async () => {
  const response = await broker.fetch('demo', '/api/v4/account')
  return response.status === 200 && (await response.json()).subdomain === 'demo'
})
