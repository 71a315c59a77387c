import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { TeardownScope } from './teardown-scope.ts'

interface Received {
  path: string
  headers: IncomingHttpHeaders
  body: string
  atMs: number
}

type Respond = (request: Received, response: ServerResponse) => unknown

export interface Receiver {
  origin: string
  received: Received[]
  /** Decides what is answered from now on. */
  respond(respond: Respond): void
  close(): Promise<void>
}

/** Starts a server that remembers every request and answers 200. */
export async function startReceiver(t: TeardownScope, first: Respond = ok): Promise<Receiver> {
  let respond = first
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const { headers, url = '' } = request
    const what = { path: url, headers, body, atMs: performance.now() }
    received.push(what)
    await respond(what, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async () => {
    server.closeAllConnections()
    if (server.listening) await new Promise((resolve) => server.close(resolve))
  }
  t.teardown(close)
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    respond(next) {
      respond = next
    },
    close,
  }
}

/** Answers with a status and a body. */
export function answer(status: number, body = '', headers: Record<string, string> = {}): Respond {
  return (_request, response) => {
    response.writeHead(status, headers)
    response.end(body)
  }
}

function ok(_request: Received, response: ServerResponse): void {
  response.end('{}')
}

export const BOT_TOKEN = '123456789:AAcanary-bot-token-0123456789abcdef'

/**
 * Answers as Telegram's Bot API does: it knows one bot and one chat, reads the entities of HTML and
 * refuses what it cannot read (https://core.telegram.org/bots/api#sendmessage).
 */
export function telegram(chatId: string): Respond {
  return ({ path, body }, response) => {
    const refuse = (error_code: number, description: string, parameters?: object) => {
      response.writeHead(error_code, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ ok: false, error_code, description, ...{ parameters } }))
    }
    if (path !== `/bot${BOT_TOKEN}/sendMessage`) return refuse(404, 'Not Found')
    const message = JSON.parse(body)
    if (String(message.chat_id) !== chatId) return refuse(400, 'Bad Request: chat not found')
    if (!message.text) return refuse(400, 'Bad Request: message text is empty')
    if (message.parse_mode !== 'HTML') return refuse(400, 'Bad Request: unsupported parse_mode')
    const bare = message.text.replaceAll(/<(b|code)>([^<>]*)<\/\1>/g, '$2')
    if (/[<>]|&(?!(?:lt|gt|amp|quot|#\d+);)/.test(bare)) {
      return refuse(400, "Bad Request: can't parse entities: Unsupported start tag")
    }
    for (const { url } of message.reply_markup?.inline_keyboard.flat() ?? []) {
      const { hostname } = new URL(url)
      if (!hostname.includes('.') || /^[\d.]+$/.test(hostname)) {
        return refuse(400, `Bad Request: inline keyboard button URL '${url}' is invalid`)
      }
    }
    response.writeHead(200, { 'content-type': 'application/json' })
    return response.end(
      JSON.stringify({ ok: true, result: { message_id: 1, chat: { id: Number(chatId) } } }),
    )
  }
}

export const SLACK_PATH = '/services/T00000000/B00000000/canary-slack-secret-xx'

/**
 * Answers as an incoming webhook of Slack does
 * (https://api.slack.com/messaging/webhooks#handling_errors).
 */
export const slack: Respond = ({ path, body }, response) => {
  const say = (status: number, word: string) => response.writeHead(status).end(word)
  if (path !== SLACK_PATH) return say(404, 'no_service')
  const message = JSON.parse(body)
  if (typeof message.text !== 'string' || message.text === '') return say(400, 'no_text')
  for (const block of message.blocks ?? []) {
    if (block.type === 'section' && block.text?.type === 'mrkdwn') {
      if (block.text.text.length > 3_000) return say(400, 'invalid_blocks')
    } else if (block.type === 'actions') {
      for (const { type, text: label, url } of block.elements) {
        if (type !== 'button' || label.type !== 'plain_text' || label.text.length > 75) {
          return say(400, 'invalid_blocks')
        }
        if (!/^https?:\/\/[^/]+/.test(url)) return say(400, 'invalid_blocks')
      }
    } else return say(400, 'invalid_blocks')
  }
  return say(200, 'ok')
}
