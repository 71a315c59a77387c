import { createHmac } from 'node:crypto'
import type { Secret } from '../../vault/secret.ts'
import type { Post, PostResponse } from '../post.ts'
import { type Outcome, readStatus } from './outcome.ts'

const PREFIX = 'whsec_'

/** The parts of a webhook, by the Standard Webhooks specification. */
export interface WebhookOrder {
  url: URL
  /** The same for every attempt. */
  id: string
  body: string
  /** Seconds since 1970. */
  timestamp: number
  /** The valid secrets, the newest first: two while a secret is rotated. */
  secrets: readonly Secret[]
}

/**
 * Builds the request of a webhook, signed at this time with each secret (Standard Webhooks,
 * https://www.standardwebhooks.com).
 */
export function buildWebhook({ url, id, body, timestamp, secrets }: WebhookOrder): Post {
  const signatures = secrets.map((secret) => `v1,${sign(secret, `${id}.${timestamp}.${body}`)}`)
  const headers = {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signatures.join(' '),
  }
  return { url, headers, body }
}

/** Returns what a response means. 2xx: delivered. 410: the receiver wants no more messages. */
export function readWebhookResponse({ status, retryAfterSeconds }: PostResponse): Outcome {
  return readStatus(status, retryAfterSeconds)
}

function sign(secret: Secret, text: string): string {
  const key = Buffer.from(secret.reveal().slice(PREFIX.length), 'base64')
  return createHmac('sha256', key).update(text).digest('base64')
}
