import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { CredentialRecord } from '../integrations/credential-record.ts'
import type { Integration } from '../integrations/integration.ts'
import { failpoint } from '../lib/failpoint.ts'
import { FailureChange } from '../lib/failure-change.ts'
import type { OAuthClient } from '../provider/profiles.ts'
import { decodeRawBody } from '../provider/raw-body.ts'
import { REFUSALS, type RefusalCode } from '../provider/refusals.ts'
import { findPair, requestTokens, type TokenResult } from '../provider/token-endpoint.ts'
import type { InboxPair } from './callback.ts'
import { awaitCodePace } from './code-pace.ts'
import type { CodeResponses } from './code-responses.ts'
import type { Inbox, InboxRow } from './inbox.ts'

const EXCHANGE_LIMIT_MS = 30_000
const STORE_RETRY_MS = 500
/** Refusals that the next client secret may resolve. */
const CLIENT_REFUSALS: ReadonlySet<RefusalCode> = new Set([
  'client_rejected',
  'client_secret_malformed',
  'unauthorized_without_hint',
])

export interface ExchangeContext {
  database: Database
  inbox: Inbox
  credentials: CredentialRecord
  codeResponses: CodeResponses
  heartbeat: Heartbeat
  log: Logger
}

/**
 * Presents the code once and stores the pair that it brings in the inbox.
 *
 * @returns `undefined` when there is no pair: the row is released or finished.
 */
export async function exchangeCode(
  context: ExchangeContext,
  row: InboxRow,
  integration: Integration,
): Promise<InboxPair | undefined> {
  const { inbox, heartbeat, codeResponses, credentials, log } = context
  const timeOf = (atMs: number) => heartbeat.nowMs() - (performance.now() - atMs)
  const grant = { grantType: 'authorization_code', code: inbox.openCode(row) } as const
  const present = (client: OAuthClient) =>
    requestTokens(client, row.referer ?? '', grant, {
      limitMs: EXCHANGE_LIMIT_MS,
      keep: (body, sentAtMs) => {
        failpoint('code_response_read')
        codeResponses.append({ inboxId: row.id, body, sentAtMs: timeOf(sentAtMs) })
        failpoint('code_response_journaled')
      },
    })
  const first = await present(integration)
  const { nextClientSecret: next } = integration
  // Each attempt is paid for: a stranger can cause this refusal too.
  const isNextTried =
    next !== null &&
    mayBeOfClient(first) &&
    (await awaitCodePace(context.database, row, () => false))
  const response = isNextTried ? await present({ ...integration, clientSecret: next }) : first
  if (response.kind === 'pair') {
    const received = { pair: response.pair, sentAt: new Date(timeOf(response.sentAtMs)) }
    await untilStored(() => storePair(context, row, received), log)
    const { name, secretMark } = integration
    if (isNextTried) await credentials.recordRefusal(name, 'client_rejected', secretMark)
    else await credentials.recordAccepted(name, secretMark)
    return received
  }
  log.warn({ inbox: row.id, integration: integration.name, ...response }, 'code exchange refused')
  const isUnspent = response.kind === 'not_written' || REFUSALS[response.code].kind === 'not_spent'
  if (isUnspent) await inbox.release(row.id)
  else await finishRefused(context, row, integration, response.code)
  return undefined
}

/**
 * Stores the responses to codes that a process left on this disk when it died. Any replica can
 * continue with them from the inbox.
 */
export async function storeCodeResponses(context: ExchangeContext): Promise<void> {
  const { inbox, codeResponses, log } = context
  for await (const { inboxId, body, sentAtMs } of codeResponses.entries()) {
    const pair = findPair(decodeRawBody(body))
    const row = await inbox.find(inboxId)
    // A response without a pair, or of another database, stays on the disk for an operator.
    if (pair === undefined || row === undefined) continue
    await storePair(context, row, { pair, sentAt: new Date(sentAtMs) })
    await inbox.releaseFromDeadOwner(inboxId)
    log.warn({ inbox: inboxId }, 'journaled response to a code stored')
  }
}

/**
 * Returns true when the provider may have refused the client. It checks the client before the code,
 * so the code is unspent and is presented again with the next secret. Only the pair that this
 * brings swaps the secrets: a 401 to both may come from the host, which the sender of the callback
 * chose.
 */
function mayBeOfClient(response: TokenResult): boolean {
  return response.kind === 'refused' && CLIENT_REFUSALS.has(response.code)
}

async function finishRefused(
  { inbox, credentials }: ExchangeContext,
  { id, origin }: InboxRow,
  { name }: Integration,
  code: RefusalCode,
): Promise<void> {
  // Without a refresh token the host cannot be looked up, so the client is the likely cause.
  const outcome = code === 'unauthorized_without_hint' ? 'client_rejected' : code
  const isOfClient = REFUSALS[outcome].kind === 'configuration'
  // Only the code of an exchange is known to be genuine: the provider's server brought it under a
  // state that nobody else has. Anyone can bring a made-up code, or one of another client.
  if (isOfClient && origin === 'exchange') await credentials.recordError(name, outcome)
  await inbox.finish(id, outcome)
}

/** Stores the sealed pair in the inbox; the copy on disk is no longer needed. */
async function storePair(
  { inbox, codeResponses }: ExchangeContext,
  row: Pick<InboxRow, 'id' | 'fingerprint'>,
  received: InboxPair,
): Promise<void> {
  await inbox.storePair(row, received)
  failpoint('pair_in_inbox')
  await codeResponses.forget(row.id)
}

/** Repeats until the pair is stored, because it exists nowhere else. */
async function untilStored(store: () => Promise<void>, log: Logger): Promise<void> {
  const failure = new FailureChange()
  for (;;) {
    try {
      return await store()
    } catch (err) {
      log[failure.isNew(err) ? 'error' : 'debug']({ err }, 'onboarded token pair not stored yet')
      await delay(STORE_RETRY_MS)
    }
  }
}
