// undici 7 and newer: an interceptor.
import { AmoTokenClient } from 'amo-token-client'
import { Agent, request } from 'undici'
import { run } from './run.mjs'

const broker = new AmoTokenClient({ url: process.env.BROKER_URL, key: process.env.BROKER_KEY })
const dispatcher = new Agent().compose(broker.interceptor('demo'))

await run(async () => {
  const { body } = await request('https://demo.amocrm.ru/api/v4/account', { dispatcher })
  return (await body.json()).subdomain === 'demo'
})
