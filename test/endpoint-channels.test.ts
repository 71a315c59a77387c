import { randomBytes } from 'node:crypto'
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { EVENT_TYPES } from '../src/contract/events.ts'
import { buildMessage } from '../src/deliveries/build-message.ts'
import { buildSlack, readSlackResponse } from '../src/deliveries/channels/slack.ts'
import { buildTelegram, readTelegramResponse } from '../src/deliveries/channels/telegram.ts'
import { buildWebhook } from '../src/deliveries/channels/webhook.ts'
import { excerptOf } from '../src/deliveries/excerpt.ts'
import { fillText, type Message } from '../src/deliveries/message.ts'
import { PostFailed, post } from '../src/deliveries/post.ts'
import { TEXTS } from '../src/deliveries/texts/texts.ts'
import { checkTarget, targetFrom } from '../src/endpoints/target.ts'
import type { EventRow } from '../src/events/event-json.ts'
import { Secret } from '../src/vault/secret.ts'
import {
  answer,
  BOT_TOKEN,
  SLACK_PATH,
  slack,
  startReceiver,
  telegram,
} from './support/receivers.ts'

const NOW = Math.floor(Date.now() / 1000)
const newSecret = () => new Secret(`whsec_${randomBytes(32).toString('base64')}`)
const order = {
  url: new URL('https://example.com/hook'),
  id: '5a0f1c1e-6d2b-4f57-9c31-7be5a0d41f22',
  body: '{"type":"account.reauth_required","data":{"domain":"demo.amocrm.ru"}}',
  timestamp: NOW,
}

/** Verifies a request as a receiver does. */
function verify(secret: Secret, { headers, body }: ReturnType<typeof buildWebhook>): unknown {
  return new Webhook(secret.reveal()).verify(body, headers)
}

t.test('webhook: standardwebhooks accepts the signature of now, and no other', async (t) => {
  const secret = newSecret()
  const request = buildWebhook({ ...order, secrets: [secret] })
  t.match(verify(secret, request), { type: 'account.reauth_required' })
  for (let at = 0; at < order.body.length; at += 7) {
    const body = `${order.body.slice(0, at)}~${order.body.slice(at + 1)}`
    t.throws(() => verify(secret, { ...request, body }), /signature/i, `byte ${at}`)
  }
  const otherId = { ...request.headers, 'webhook-id': 'another' }
  t.throws(() => verify(secret, { ...request, headers: otherId }), /signature/i)
  for (const age of [-6 * 60, 6 * 60]) {
    const old = buildWebhook({ ...order, timestamp: NOW + age, secrets: [secret] })
    t.throws(() => verify(secret, old), /timestamp/i, `${age} s`)
  }
  t.throws(() => verify(newSecret(), request), /signature/i)
})

t.test('webhook: while a secret is rotated, both accept', async (t) => {
  const [older, newer] = [newSecret(), newSecret()]
  const both = buildWebhook({ ...order, secrets: [newer, older] })
  t.ok(verify(older, both))
  t.ok(verify(newer, both))
  const after = buildWebhook({ ...order, secrets: [newer] })
  t.ok(verify(newer, after))
  t.throws(() => verify(older, after), /signature/i)
})

const HOSTILE =
  '<!channel> <@U1> @everyone <a href="https://evil.example">x</a> `rm` *b* & https://evil.example \u202e'
const message: Message = {
  title: 'Access was lost & more',
  body: 'Services lost {account} <now>.',
  values: { account: HOSTILE },
  button: 'Open',
  url: 'https://console.example.com/console/accounts/amocrm/77',
}

t.test(
  'Telegram: the text of strangers is dead, and the button leads to the console',
  async (t) => {
    const receiver = await startReceiver(t, telegram('-100123'))
    const target = targetFrom('telegram', {
      botToken: BOT_TOKEN,
      chatId: '-100123',
      apiOrigin: receiver.origin,
    })
    const response = await post(buildTelegram(target, message), true)
    t.same(readTelegramResponse(response), { kind: 'delivered' })
    const sent = JSON.parse(receiver.received[0]?.body ?? '')
    const [code] = /<code>.*<\/code>/s.exec(sent.text) ?? []
    t.notMatch(sent.text.replace(code, ''), /evil|everyone|channel/, 'it stands in code only')
    t.notMatch(code?.slice(6, -7), /[<>]/, 'it cannot leave the code')
    t.notMatch(sent.text, /\u202e/)
    t.same(sent.reply_markup, { inline_keyboard: [[{ text: 'Open', url: message.url }]] })
    t.same(sent.link_preview_options, { is_disabled: true })
    const local = { ...message, url: 'http://127.0.0.1:3000/console' }
    const plain = await post(buildTelegram(target, local), true)
    t.same(readTelegramResponse(plain), { kind: 'delivered' }, 'no button that Telegram refuses')
    t.match(receiver.received[1]?.body, /<code>http:\/\/127\.0\.0\.1:3000\/console<\/code>/)
  },
)

t.test('Telegram: what the responses of the Bot API mean', async (t) => {
  const receiver = await startReceiver(t)
  const target = new URL(`${receiver.origin}/bot${BOT_TOKEN}/sendMessage?chat_id=5`)
  const read = async (status: number, body: string) => {
    receiver.respond(answer(status, body))
    return readTelegramResponse(await post(buildTelegram(target, message), true))
  }
  t.same(await read(429, '{"ok":false,"error_code":429,"parameters":{"retry_after":7}}'), {
    kind: 'failed',
    code: 'rate_limited',
    retryAfterSeconds: 7,
  })
  t.match(await read(400, '{"ok":false,"parameters":{"migrate_to_chat_id":-1009}}'), {
    kind: 'moved',
    chatId: '-1009',
  })
  t.match(await read(403, '{"ok":false,"description":"Forbidden: bot was kicked"}'), {
    kind: 'failed',
    code: 'refused',
  })
  t.match(await read(200, '<html>a captive portal</html>'), { code: 'no_bot_api' })
  t.match(await read(500, 'null'), { code: 'server_error' })
})

t.test('Slack: the text of strangers is dead, and the button leads to the console', async (t) => {
  const receiver = await startReceiver(t, slack)
  const target = targetFrom('slack', { url: receiver.origin + SLACK_PATH })
  const response = await post(buildSlack(target, message), true)
  t.same([response.status, response.body], [200, 'ok'])
  t.same(readSlackResponse(response), { kind: 'delivered' })
  const sent = JSON.parse(receiver.received[0]?.body ?? '')
  for (const text of [sent.text, sent.blocks[0].text.text]) {
    const [code] = /`[^`]*`/.exec(text) ?? []
    t.notMatch(text.replace(code, ''), /evil|everyone|channel/, 'it stands in code only')
    t.notMatch(text, /[<>]/)
  }
  t.match(sent.blocks[1], { type: 'actions', elements: [{ type: 'button', url: message.url }] })
  t.equal(sent.unfurl_links, false)
  receiver.respond(answer(410, 'channel_is_archived'))
  t.match(readSlackResponse(await post(buildSlack(target, message), true)), { kind: 'gone' })
})

const event = (type: EventRow['type'], more: Partial<EventRow> = {}): EventRow => ({
  ...{ id: order.id, inserted: 1, type, at: new Date(), delayed: false, integration: 'amocrm' },
  ...{ accountId: 77, domain: 'demo.amocrm.ru', generation: 3, state: null, reason: null },
  detail: {
    ...{ days_left: 3, breaker: 'amocrm', part: 'redis', client: 'shop' },
    ...{ key_id: '3f9c0a1b2d', endpoint: 'duty' },
  },
  ...{ endpointId: null, dedupeKey: null, position: 1, accountSequence: 1 },
  ...more,
})
const words = (text: string) => text

t.test('texts: every message exists in every language, and has all its values', async (t) => {
  const reasons = ['spent_elsewhere', 'token_expired', 'account_gone', 'pair_lost', null]
  const messages = [
    ...EVENT_TYPES.map((type) => ({ kind: 'single' as const, events: [event(type)] as const })),
    ...reasons.map((reason) => ({
      kind: 'single' as const,
      events: [event('account.reauth_required', { reason })] as const,
    })),
    {
      kind: 'single' as const,
      events: [event('integration.halted', { state: 'paused' })] as const,
    },
    { kind: 'group' as const, events: [event('account.reauth_required')] as const },
    { kind: 'flapping' as const, events: [event('account.recovered')] as const },
  ]
  const seen = new Map<string, string>()
  for (const language of Object.keys(TEXTS) as (keyof typeof TEXTS)[]) {
    for (const { kind, events } of messages) {
      const delivery = { kind, eventIds: events.map(({ id }) => id) }
      const { title, body, values } = buildMessage(delivery, events, language, null)
      const text = fillText(body, values, words, words)
      t.notMatch(text, /[{}?]/, `${language} ${events[0].type}`)
      t.notMatch(title, /[{}]/)
      t.ok(text.length < 600 && title.length < 60)
      t.match(text, language === 'ru' || language === 'uk' ? /[а-яії]{3}/ : /[a-z]{3}/)
      t.notMatch(
        seen.get(text) ?? language,
        new RegExp(`^(?!${language})`),
        'not in another language',
      )
      seen.set(text, language)
    }
  }
  t.match(seen.size, Object.keys(TEXTS).length * messages.length - 4, 'one cause is no cause')
})

t.test('a response is shown without what could be secret', async (t) => {
  const url = new URL(`https://api.example.com/bot${BOT_TOKEN}/sendMessage?chat_id=-100123456`)
  t.equal(
    excerptOf('{"description":"chat\n not\u0000 found"}', url),
    '{"description":"chat not found"}',
  )
  t.equal(excerptOf(`Cannot POST /bot${BOT_TOKEN}/x`, url), null)
  t.equal(excerptOf(`no chat -100123456`, url), null)
  const encoded = new URL('https://example.com/hook?key=a%2Fsecret%3D')
  t.equal(excerptOf('wrong key a/secret=', encoded), null)
  t.equal(excerptOf('😀'.repeat(200), url)?.isWellFormed(), true)
  t.equal(excerptOf('x'.repeat(9_000), url)?.length, 200)
  t.equal(excerptOf(' \n', url), null)
})

t.test('post: no redirect, bounded time and size', async (t) => {
  const elsewhere = await startReceiver(t)
  const receiver = await startReceiver(t, answer(302, '', { location: elsewhere.origin }))
  const request = { url: new URL(`${receiver.origin}/a?b=c`), headers: {}, body: 'x' }
  t.equal((await post(request, true)).status, 302)
  t.equal(receiver.received[0]?.path, '/a?b=c')
  receiver.respond((_request, response) => {
    response.write('x')
    const timer = setInterval(() => response.write('x'.repeat(65_536)), 1)
    response.on('close', () => clearInterval(timer))
  })
  t.equal((await post(request, true)).body.length, 16_384)
  receiver.respond((_request, response) => response.write('x'))
  await t.rejects(post(request, true, 300), { code: 'TIMEOUT' })
  receiver.respond((_request, response) => response.destroy())
  await t.rejects(post(request, true), {
    name: 'PostFailed',
    code: /^(UND_ERR_SOCKET|ECONNRESET)$/,
  })
  t.equal(elsewhere.received.length, 0)
})

/** What a server inside the network is reached by. */
const INSIDE = [
  ...['http://127.0.0.1', 'https://127.0.0.1', 'https://localhost', 'https://127.1', 'https://0'],
  ...[
    'https://2130706433',
    'https://0x7f.1',
    'https://0177.0.0.1',
    'https://[::1]',
    'https://[::]',
  ],
  ...['https://[::ffff:127.0.0.1]', 'https://[::ffff:7f00:1]', 'https://[64:ff9b::7f00:1]'],
  ...['https://10.0.0.1', 'https://172.16.0.1', 'https://192.168.1.1', 'https://100.64.0.1'],
  ...['https://169.254.169.254', 'https://[fe80::1]', 'https://[fd00:ec2::254]', 'https://0.0.0.0'],
  ...['https://168.63.129.16', 'https://100.100.100.200', 'https://[fc00::1]', 'https://①②⑦.⓪.⓪.①'],

  'https://192.0.0.192',
]
/** Refused even if private addresses are allowed. */
const NEVER = ['http://169.254.169.254', 'https://[fe80::1]', 'http://100.100.100.200']

t.test('SSRF: addresses inside are refused at creation and at delivery', async (t) => {
  for (const [inside, mayBePrivate] of [
    ...INSIDE.map((text) => [text, false] as const),
    ...NEVER.map((text) => [text, true] as const),
  ]) {
    const url = targetFrom('webhook', { url: `${inside}/hook` })
    await t.rejects(checkTarget(url, mayBePrivate), { code: 'bad_request' }, inside)
    const refused = { code: 'ADDRESS_NOT_PUBLIC' }
    await t.rejects(post({ url, headers: {}, body: '' }, mayBePrivate, 2_000), refused, inside)
  }
  for (const text of ['ftp://example.com', 'file:///etc/passwd', 'javascript:1', '//example.com']) {
    t.throws(() => targetFrom('webhook', { url: text }), { code: 'bad_request' }, text)
  }
  t.throws(() => targetFrom('webhook', { url: 'https://name:word@example.com' }), /no password/)
  await t.rejects(checkTarget(new URL('http://8.8.8.8'), true), /plain http/, 'not into the open')
  await t.resolves(checkTarget(new URL('https://8.8.8.8'), false))
})

t.test('SSRF: a token that is kept does not move to another server', async (t) => {
  const known = targetFrom('telegram', { botToken: BOT_TOKEN, chatId: '5' })
  t.equal(known.href, `https://api.telegram.org/bot${BOT_TOKEN}/sendMessage?chat_id=5`)
  t.throws(() => targetFrom('telegram', { apiOrigin: 'https://8.8.8.8' }, known), /bot_token/)
  const moved = targetFrom('telegram', { chatId: '@channel' }, known)
  t.equal(moved.href, `https://api.telegram.org/bot${BOT_TOKEN}/sendMessage?chat_id=%40channel`)
  t.throws(() => targetFrom('telegram', { url: 'https://8.8.8.8' }, known), /url/)
  t.throws(() => targetFrom('slack', { botToken: BOT_TOKEN }, known), /bot_token/)
})

t.test('SSRF: a name that resolves differently the second time', async (t) => {
  const inside = await startReceiver(t)
  const { port } = new URL(inside.origin)
  const url = new URL(`https://rebinding.example:${port}/hook`)
  const real = { plain: dns.lookup, promised: dns.promises.lookup }
  const asked: string[] = []
  let addresses: string[] = []
  const listed = () => addresses.map((address) => ({ address, family: 4 }))
  Object.assign(dns.promises, { lookup: async () => listed() })
  Object.assign(dns, {
    lookup: (host: string, _options: object, done: (error: null, all: object[]) => void) => {
      asked.push(host)
      done(null, listed())
    },
  })
  syncBuiltinESMExports()
  t.teardown(() => {
    Object.assign(dns.promises, { lookup: real.promised })
    Object.assign(dns, { lookup: real.plain })
    syncBuiltinESMExports()
  })
  addresses = ['8.8.8.8']
  await t.resolves(checkTarget(url, false), 'it is public when it is checked')
  addresses = ['127.0.0.1']
  const send = () => post({ url, headers: {}, body: '' }, false, 2_000)
  await t.rejects(send(), { code: 'ADDRESS_NOT_PUBLIC' })
  await t.rejects(checkTarget(url, false), { code: 'bad_request' })
  addresses = ['8.8.8.8', '127.0.0.1']
  await t.rejects(send(), { code: 'ADDRESS_NOT_PUBLIC' }, 'one of two is enough')
  t.same(asked, [url.hostname, url.hostname], 'one lookup for each connection, and it is used')
  t.equal(inside.received.length, 0)
  t.ok(new PostFailed('x') instanceof Error)
})
