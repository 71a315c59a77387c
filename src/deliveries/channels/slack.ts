import { fillText, type Message } from '../message.ts'
import type { Post, PostResponse } from '../post.ts'
import { isBrowserUrl } from './browser-url.ts'
import { type Outcome, readStatus } from './outcome.ts'

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

/**
 * Builds a message for an incoming webhook of Slack
 * (https://api.slack.com/messaging/webhooks).
 */
export function buildSlack(url: URL, message: Message): Post {
  const text = textOf(message)
  const section = { type: 'section', text: { type: 'mrkdwn', text, verbatim: true } }
  const button = {
    type: 'button',
    text: { type: 'plain_text', text: message.button },
    url: message.url,
  }
  const actions = isBrowserUrl(message.url) ? [{ type: 'actions', elements: [button] }] : []
  const body = { text, blocks: [section, ...actions], unfurl_links: false, unfurl_media: false }
  return {
    url,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
}

/** Returns what the response means. Slack answers 410 for an archived channel. */
export function readSlackResponse({ status, retryAfterSeconds }: PostResponse): Outcome {
  return readStatus(status, retryAfterSeconds)
}

/** Slack makes neither links nor mentions of text between backticks. */
function textOf({ title, body, url, values }: Message): string {
  const text = fillText(body, values, escapeText, codeOf)
  const link = url === null || isBrowserUrl(url) ? '' : `\n${codeOf(url)}`
  return `*${escapeText(title)}*\n${text}${link}`
}

function codeOf(value: string): string {
  return `\`${escapeText(value.replaceAll('`', "'"))}\``
}

/**
 * Slack reads mentions and links only inside `<…>`
 * (https://api.slack.com/reference/surfaces/formatting).
 */
function escapeText(text: string): string {
  return text.replace(/[&<>]/g, (character) => ENTITIES[character] ?? character)
}
