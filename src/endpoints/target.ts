import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Row } from '../db/tables.ts'
import { BrokerError } from '../lib/errors.ts'
import { bareHost, isAllowedAddress, isAllowedHost } from './allowed-address.ts'

export type EndpointKind = Row<'amo_endpoints'>['kind']

/** Where messages go, in the words of the API. */
export interface TargetOrder {
  /** Of a webhook, or of an incoming webhook of Slack. */
  url?: string | undefined
  botToken?: string | undefined
  chatId?: string | undefined
  /** Of a Bot API server of one's own. */
  apiOrigin?: string | undefined
}

const TELEGRAM_ORIGIN = 'https://api.telegram.org'
/** `/bot<token>/sendMessage` */
const BOT_PATH = /^\/bot([^/]+)\/sendMessage$/

/**
 * Returns the URL of an endpoint, its secrets included. `known` is the present URL of an endpoint
 * that is changed. Throws `bad_request`, which never repeats the value.
 */
export function targetFrom(kind: EndpointKind, order: TargetOrder, known?: URL): URL {
  if (kind !== 'telegram') {
    refuse(
      order.botToken ?? order.chatId ?? order.apiOrigin,
      `bot_token, chat_id and api_origin`,
      kind,
    )
    return parse('url', order.url ?? known?.href)
  }
  refuse(order.url, 'url', kind)
  // Without a new token, the present one would be sent to another server.
  if (order.apiOrigin !== undefined && order.botToken === undefined) {
    throw wrong('api_origin', 'it decides where the token is sent, so it needs bot_token.')
  }
  const token = order.botToken ?? (known && BOT_PATH.exec(known.pathname)?.[1])
  const chatId = order.chatId ?? known?.searchParams.get('chat_id') ?? undefined
  if (token === undefined) throw wrong('bot_token', 'it is missing.')
  if (chatId === undefined) throw wrong('chat_id', 'it is missing.')
  const origin = order.apiOrigin ?? (order.botToken === undefined && known?.origin) ?? false
  const url = parse('api_origin', origin || TELEGRAM_ORIGIN)
  if (url.pathname !== '/' || url.search) throw wrong('api_origin', 'it must have no path.')
  url.pathname = `/bot${token}/sendMessage`
  url.searchParams.set('chat_id', chatId)
  return url
}

/** Returns the URL of a Telegram endpoint for another chat. */
export function withChat(url: URL, chatId: string): URL {
  const moved = new URL(url)
  moved.searchParams.set('chat_id', chatId)
  return moved
}

/**
 * Checks that messages may be sent to the address of a URL. A name is resolved now, and again for
 * each message. Throws `bad_request`.
 */
export async function checkTarget(url: URL, mayBePrivate: boolean): Promise<void> {
  const isOnlyPrivate = url.protocol === 'http:'
  if (isOnlyPrivate && !mayBePrivate) throw wrong('url', 'it must start with https://.')
  const isAllowed =
    isAllowedHost(url, mayBePrivate) &&
    (await addressesOf(url)).every((address) => isAllowedAddress(url, address, mayBePrivate))
  if (isAllowed) return
  if (isOnlyPrivate) throw wrong('url', 'plain http is accepted in private networks only.')
  throw wrong(
    'url',
    'its address is not public. ENDPOINTS_ALLOW_PRIVATE allows those of private networks.',
  )
}

function refuse(value: string | undefined, fields: string, kind: EndpointKind): void {
  if (value !== undefined) throw wrong(fields, `an endpoint of the kind ${kind} has none.`)
}

function parse(field: string, text: string | undefined): URL {
  if (text === undefined) throw wrong(field, 'it is missing.')
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw wrong(field, 'it is no URL that starts with https://.')
  }
  if (url.username !== '' || url.password !== '') {
    throw wrong(field, 'it must hold no name and no password. A secret can be in its path.')
  }
  url.hash = ''
  return url
}

/** Returns no address when the name does not resolve now. */
async function addressesOf(url: URL): Promise<string[]> {
  const host = bareHost(url)
  if (isIP(host) !== 0) return [host]
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address)
  } catch {
    return []
  }
}

function wrong(field: string, problem: string): BrokerError {
  return new BrokerError('bad_request', `${field}: ${problem}`)
}
