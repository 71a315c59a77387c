// axios 1.12 and newer: its fetch adapter takes a fetch.
import { AmoTokenClient } from 'amo-token-client'
import axios from 'axios'
import { run } from './run.mjs'

const broker = new AmoTokenClient({ url: process.env.BROKER_URL, key: process.env.BROKER_KEY })
const amo = axios.create({
  baseURL: 'https://demo.amocrm.ru',
  adapter: 'fetch',
  env: { fetch: broker.fetchFor('demo') },
})

await run(async () => (await amo.get('/api/v4/account')).data.subdomain === 'demo')
