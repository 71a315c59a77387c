import { json } from 'node:stream/consumers'
import { Client } from 'undici'
import type { Burst, BurstOrder } from './load.ts'

/** Every caller opens its own connection first, so that only the response is measured. */
const { origins, path, authorization, callers } = (await json(process.stdin)) as BurstOrder
const clients: Client[] = []
for (let nth = 0; nth < callers; nth += 1) {
  const client = new Client(origins[nth % origins.length] ?? '')
  const answer = await client.request({ path: '/health/live', method: 'GET' })
  await answer.body.dump()
  clients.push(client)
}
const answers: Burst['answers'] = {}
let slowestMs = 0
const beganMs = performance.now()
await Promise.all(
  clients.map(async (client) => {
    const answer = await client.request({ path, method: 'GET', headers: { authorization } })
    const body = (await answer.body.json()) as { generation?: number; code?: string }
    slowestMs = Math.max(slowestMs, performance.now() - beganMs)
    const what = `${answer.statusCode} ${body.generation ?? body.code}`
    answers[what] = (answers[what] ?? 0) + 1
  }),
)
console.log(JSON.stringify({ slowestMs, answers } satisfies Burst))
await Promise.all(clients.map((client) => client.close()))
