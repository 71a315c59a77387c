import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { Row } from '../db/tables.ts'
import { withChat } from '../endpoints/target.ts'
import type { EventRow } from '../events/event-json.ts'
import { KeyMissing, SealBroken } from '../lib/errors.ts'
import { beginTrace } from '../lib/spans.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { endpointAt } from '../vault/sealed-places.ts'
import { buildMessage } from './build-message.ts'
import type { Outcome } from './channels/outcome.ts'
import { buildSlack, readSlackResponse } from './channels/slack.ts'
import { buildTelegram, readTelegramResponse } from './channels/telegram.ts'
import { buildWebhook, readWebhookResponse } from './channels/webhook.ts'
import type { Claimed } from './claim.ts'
import { pageOf, webhookBody } from './event-content.ts'
import { excerptOf } from './excerpt.ts'
import type { AttemptResult } from './finish.ts'
import { type Post, PostFailed, post } from './post.ts'

/** Events in one message, so that it has at most a few hundred KB. */
const MAX_EVENTS = 100

export interface AttemptContext {
  database: Database
  heartbeat: Heartbeat
  keyRing: KeyRing
  /** Origin of the console, for links. */
  consoleUrl: string
  /** ENDPOINTS_ALLOW_PRIVATE. */
  mayBePrivate: boolean
}

type SealedEndpoint = Row<'amo_endpoints'>
type Events = readonly [EventRow, ...EventRow[]]

/** A channel: what it sends, and what a response means. */
interface Channel {
  build(delivery: Claimed, events: Events, endpoint: SealedEndpoint, target: URL): Post
  read: typeof readWebhookResponse
}

/**
 * Attempts a delivery once. Failures are results; throws only when the database does not answer.
 */
export async function attemptDelivery(
  context: AttemptContext,
  claimed: Claimed,
): Promise<AttemptResult> {
  const startedMs = performance.now()
  const result = await attempt(context, claimed)
  return { ...result, ms: Math.round(performance.now() - startedMs) }
}

async function attempt(
  context: AttemptContext,
  claimed: Claimed,
): Promise<Omit<AttemptResult, 'ms'>> {
  const { db } = context.database
  const endpoint = await findSealedById(db, claimed.endpointId)
  const [first, ...rest] = await findEventsOf(db, claimed.eventIds)
  if (first === undefined || endpoint === undefined) return failed('expired', 'event_gone')
  const { integration, attempts } = claimed
  const fields = { host: endpoint.origin, try: attempts + 1, ...(integration && { integration }) }
  return beginTrace(
    'amo.delivery',
    fields,
    () => send(context, claimed, [first, ...rest], endpoint),
    ({ outcome, code }) => code ?? outcome,
  )
}

async function send(
  context: AttemptContext,
  claimed: Claimed,
  events: Events,
  endpoint: SealedEndpoint,
): Promise<Omit<AttemptResult, 'ms'>> {
  const channel = channelsOf(context)[endpoint.kind]
  try {
    const target = context.keyRing.open(endpoint.target, endpointAt(endpoint.id, 'target'))
    const url = new URL(target.reveal())
    const response = await post(channel.build(claimed, events, endpoint, url), context.mayBePrivate)
    const outcome = channel.read(response)
    if (outcome.kind === 'moved') await moveChat(context, endpoint, url, outcome.chatId)
    return resultOf(outcome, response.status, excerptOf(response.body, url))
  } catch (error) {
    if (error instanceof PostFailed) return failed('failed', error.code.toLowerCase())
    if (error instanceof KeyMissing) return failed('failed', 'key_missing')
    if (error instanceof SealBroken) return failed('failed', 'altered')
    throw error
  }
}

function channelsOf(context: AttemptContext): Record<SealedEndpoint['kind'], Channel> {
  const { consoleUrl, heartbeat } = context
  const messageOf = (delivery: Claimed, events: Events, { language }: SealedEndpoint) =>
    buildMessage(delivery, events, language, pageOf(delivery, events, consoleUrl))
  return {
    webhook: {
      build: (delivery, events, endpoint, url) =>
        buildWebhook({
          url,
          id: delivery.messageId,
          body: JSON.stringify(webhookBody(delivery, events, consoleUrl)),
          timestamp: Math.floor(heartbeat.nowMs() / 1000),
          secrets: openSecrets(context, endpoint),
        }),
      read: readWebhookResponse,
    },
    telegram: {
      build: (delivery, events, endpoint, url) =>
        buildTelegram(url, messageOf(delivery, events, endpoint)),
      read: readTelegramResponse,
    },
    slack: {
      build: (delivery, events, endpoint, url) =>
        buildSlack(url, messageOf(delivery, events, endpoint)),
      read: readSlackResponse,
    },
  }
}

/** Returns the valid secrets of a webhook, the newest first. */
function openSecrets({ keyRing, heartbeat }: AttemptContext, endpoint: SealedEndpoint) {
  const { id, signingSecret, previousSecret, previousUntil } = endpoint
  const isRotating = previousUntil !== null && previousUntil.getTime() > heartbeat.nowMs()
  const columns = { signingSecret, previousSecret: isRotating ? previousSecret : null }
  return (['signingSecret', 'previousSecret'] as const).flatMap((column) => {
    const sealed = columns[column]
    return sealed === null ? [] : [keyRing.open(sealed, endpointAt(id, column))]
  })
}

/** Stores the chat's new id, because Telegram refuses the old one from now on. */
async function moveChat(
  { database, keyRing }: AttemptContext,
  { id, target }: SealedEndpoint,
  url: URL,
  chatId: string,
): Promise<void> {
  const moved = keyRing.seal(withChat(url, chatId).href, endpointAt(id, 'target'))
  await database.db
    .updateTable('amo_endpoints')
    .set({ target: moved })
    .where('id', '=', id)
    .where('target', '=', target)
    .execute()
}

function findSealedById(db: Database['db'], id: string): Promise<SealedEndpoint | undefined> {
  return db.selectFrom('amo_endpoints').selectAll().where('id', '=', id).executeTakeFirst()
}

/** Returns the events of a message: of more than MAX_EVENTS the oldest ones and the newest one. */
function findEventsOf(db: Database['db'], ids: readonly string[]): Promise<EventRow[]> {
  const some = ids.length > MAX_EVENTS ? [...ids.slice(0, MAX_EVENTS - 1), ...ids.slice(-1)] : ids
  return db
    .selectFrom('amo_events')
    .selectAll()
    .where('id', 'in', some)
    .orderBy('position')
    .execute()
}

function resultOf(
  outcome: Outcome,
  status: number,
  excerpt: string | null,
): Omit<AttemptResult, 'ms'> {
  if (outcome.kind === 'delivered') {
    return { outcome: 'delivered', status, code: null, excerpt: null, retryAfterSeconds: undefined }
  }
  const kind = outcome.kind === 'gone' ? 'gone' : 'failed'
  const retryAfterSeconds = outcome.kind === 'failed' ? outcome.retryAfterSeconds : undefined
  return { outcome: kind, status, code: outcome.code, excerpt, retryAfterSeconds }
}

function failed(outcome: 'failed' | 'expired', code: string): Omit<AttemptResult, 'ms'> {
  return { outcome, status: null, code, excerpt: null, retryAfterSeconds: undefined }
}
