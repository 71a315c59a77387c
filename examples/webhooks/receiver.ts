// Receives events of the broker with the package `standardwebhooks`.
//
//   npm install standardwebhooks
//   WEBHOOK_SECRET=whsec_… PORT=8080 node receiver.ts
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'

interface Event {
  type: string
  data: { account_id: number | null; sequence: number | null }
}

const webhook = new Webhook(process.env.WEBHOOK_SECRET ?? '')
// Your database instead: a message can arrive twice, even after a restart.
const known = new Set<string>()

const server = createServer(async (request, response) => {
  const body = await text(request)
  let event: Event
  try {
    event = webhook.verify(body, request.headers as Record<string, string>) as Event
  } catch {
    response.writeHead(401).end()
    return
  }
  const id = String(request.headers['webhook-id'])
  if (!known.has(id)) {
    known.add(id)
    console.log(`${event.type} account=${event.data.account_id} sequence=${event.data.sequence}`)
  }
  response.writeHead(204).end()
})
server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1')
