import { escapeHtml } from '../../lib/html.ts'
import { readRetryAfter } from '../../lib/retry-after.ts'
import { fillText, type Message } from '../message.ts'
import type { Post, PostResponse } from '../post.ts'
import { isBrowserUrl } from './browser-url.ts'
import { type Outcome, readStatus } from './outcome.ts'

/** Part of a response (https://core.telegram.org/bots/api#making-requests). */
interface BotResponse {
  ok?: unknown
  parameters?: { retry_after?: unknown; migrate_to_chat_id?: unknown }
}

/**
 * Builds a call of sendMessage. The stored URL has the chat's id as `chat_id`; the rest is the
 * method's URL with the bot's token.
 */
export function buildTelegram(stored: URL, message: Message): Post {
  const url = new URL(stored)
  const chatId = url.searchParams.get('chat_id')
  url.search = ''
  const hasButton = isBrowserUrl(message.url)
  const body = {
    chat_id: chatId,
    text: textOf(message, hasButton),
    parse_mode: 'HTML',
    link_preview_options: { is_disabled: true },
    ...(hasButton && {
      reply_markup: { inline_keyboard: [[{ text: message.button, url: message.url }]] },
    }),
  }
  return {
    url,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
}

/** Returns what the response means. The body of a 429 has the wait. */
export function readTelegramResponse(response: PostResponse): Outcome {
  const { ok, parameters } = parse(response.body)
  const { status } = response
  if (status >= 200 && status < 300 && ok !== true) return { kind: 'failed', code: 'no_bot_api' }
  const chatId = parameters?.migrate_to_chat_id
  if (status === 400 && Number.isSafeInteger(chatId)) {
    return { kind: 'moved', code: 'chat_moved', chatId: String(chatId) }
  }
  const wait = readRetryAfter(String(parameters?.retry_after ?? ''), '')
  return readStatus(status, wait ?? response.retryAfterSeconds)
}

/**
 * Telegram turns names, addresses and hashtags into links, except inside `code`, so every value is
 * inside `code`. Bold text cannot contain `code`, so the title has no values.
 */
function textOf({ title, body, url, values }: Message, hasButton: boolean): string {
  const text = fillText(body, values, escapeHtml, (value) => `<code>${escapeHtml(value)}</code>`)
  const link = hasButton || url === null ? '' : `\n<code>${escapeHtml(url)}</code>`
  return `<b>${escapeHtml(title)}</b>\n${text}${link}`
}

function parse(body: string): BotResponse {
  try {
    return (JSON.parse(body) as BotResponse | null) ?? {}
  } catch {
    return {}
  }
}
