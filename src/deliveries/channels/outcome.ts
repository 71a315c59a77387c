/** The result of an attempt. */
export type Outcome =
  | { kind: 'delivered' }
  /** The receiver wants no more messages. */
  | { kind: 'gone'; code: string }
  /** `retryAfterSeconds`: the receiver asks to wait before any other message. */
  | { kind: 'failed'; code: string; retryAfterSeconds?: number | undefined }
  /** Telegram gave the chat another id. */
  | { kind: 'moved'; code: string; chatId: string }

/** Classifies an HTTP status when the body has no further information. */
export function readStatus(status: number, retryAfterSeconds: number | undefined): Outcome {
  if (status >= 200 && status < 300) return { kind: 'delivered' }
  if (status === 410) return { kind: 'gone', code: 'gone' }
  if (status >= 300 && status < 400) return { kind: 'failed', code: 'redirected' }
  if (status === 429) return { kind: 'failed', code: 'rate_limited', retryAfterSeconds }
  return { kind: 'failed', code: status >= 500 ? 'server_error' : 'refused', retryAfterSeconds }
}
