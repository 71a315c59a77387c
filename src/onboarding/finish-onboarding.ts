import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { Integration, Integrations } from '../integrations/service.ts'
import type { OAuthClient } from '../provider/profiles.ts'
import { REFUSALS, type RefusalCode } from '../provider/refusals.ts'
import { findPair, requestTokens, type TokenAnswer } from '../provider/token-endpoint.ts'
import { pairFromJson, pairToJson } from '../refresh/answer.ts'
import type { Committer } from '../refresh/commit.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { confirmAccount, type KeptPair } from './confirm-account.ts'
import {
  claimCallback,
  findCallback,
  finishCallback,
  giveBackCallback,
  type InboxRow,
  inboxAt,
  keepPair,
  releaseDead,
  type Worker,
} from './inbox.ts'
import type { KeptCodes } from './kept-codes.ts'
import type { ConnectLinks } from './links.ts'
import { atOnboardingStep } from './steps.ts'

const EXCHANGE_LIMIT_MS = 30_000
const STORE_RETRY_MS = 500
const OF_CLIENT: ReadonlySet<RefusalCode> = new Set([
  'client_rejected',
  'client_secret_malformed',
  'unauthorized_without_hint',
])

export interface OnboardingDependencies {
  database: Database
  heartbeat: Heartbeat
  integrations: Integrations
  committer: Committer
  keyRing: KeyRing
  keptCodes: KeptCodes
  links: ConnectLinks
  states: KeyedHash
  worker: Worker
  log: Logger
}

/**
 * Takes an onboarding from the inbox to its end: the code for a pair, the pair to its account. Every step is written down
 * before the next, so that whoever comes after a crash goes on where it stopped. Does nothing when somebody else works
 * on it, or it is done.
 */
export async function finishOnboarding(
  onboarding: OnboardingDependencies,
  id: string,
): Promise<void> {
  const { database, integrations, worker } = onboarding
  const row = await claimCallback(database.db, id, worker)
  if (row === undefined) return
  atOnboardingStep('presented')
  const integration = await integrations.load(row.integration)
  const kept =
    row.pair === null ? await exchangeCode(onboarding, row, integration) : openKept(onboarding, row)
  if (kept !== undefined) await confirmAccount(onboarding, row, integration, kept)
}

/** Presents the code, once, and keeps the pair that it brings. */
async function exchangeCode(
  onboarding: OnboardingDependencies,
  row: InboxRow,
  integration: Integration,
): Promise<KeptPair | undefined> {
  const { database, keyRing, heartbeat, keptCodes, integrations, worker, log } = onboarding
  const timeOf = (atMs: number) => heartbeat.nowMs() - (performance.now() - atMs)
  const code = keyRing.open(row.secret ?? '', inboxAt(row.fingerprint, 'secret'))
  const grant = { grantType: 'authorization_code', code } as const
  const present = (client: OAuthClient) =>
    requestTokens(client, row.referer ?? '', grant, {
      limitMs: EXCHANGE_LIMIT_MS,
      keep: (body, sentAtMs) => {
        atOnboardingStep('answered')
        keptCodes.keep({ inboxId: row.id, body, sentAtMs: timeOf(sentAtMs) })
        atOnboardingStep('kept')
      },
    })
  const first = await present(integration)
  const { nextClientSecret: next } = integration
  const isNextTried = next !== null && isOfClient(first)
  const answer = isNextTried ? await present({ ...integration, clientSecret: next }) : first
  if (answer.kind === 'pair') {
    const kept = { pair: answer.pair, sentAt: new Date(timeOf(answer.sentAtMs)) }
    await untilStored(() => putIntoInbox(onboarding, row, kept), log)
    const { name, secretMark } = integration
    if (isNextTried) await integrations.recordRefusal(name, 'client_rejected', secretMark)
    return kept
  }
  log.warn({ inbox: row.id, integration: integration.name, ...answer }, 'code exchange refused')
  const isUnspent = answer.kind === 'not_written' || REFUSALS[answer.code].kind === 'not_spent'
  if (isUnspent) await giveBackCallback(database.db, row.id, worker)
  else await endRefused(onboarding, row, integration, answer.code)
  return undefined
}

/**
 * Whether the client may have been refused: the provider looks at it first, so the code is unspent, and tried with the next
 * secret at once. Only the pair that this brings changes the secrets. A 401 to both does not: it may be the host's, which
 * whoever brought the code chose.
 */
function isOfClient(answer: TokenAnswer): boolean {
  return answer.kind === 'refused' && OF_CLIENT.has(answer.code)
}

async function endRefused(
  { database, integrations, worker }: OnboardingDependencies,
  { id, origin }: InboxRow,
  { name }: Integration,
  code: RefusalCode,
): Promise<void> {
  // Without a refresh token there is nothing to look the host up with.
  const outcome = code === 'unauthorized_without_hint' ? 'client_rejected' : code
  const isRefusal = REFUSALS[outcome].kind === 'configuration'
  // An installation that nobody asked for says nothing of the client.
  if (isRefusal && origin !== 'install') await integrations.recordError(name, outcome)
  await finishCallback(database.db, id, worker, outcome)
}

/** From here on the pair is in the database, sealed, and the copy on this disk has served its purpose. */
async function putIntoInbox(
  { database, keyRing, keptCodes }: OnboardingDependencies,
  { id, fingerprint }: Pick<InboxRow, 'id' | 'fingerprint'>,
  { pair, sentAt }: KeptPair,
): Promise<void> {
  const sealed = keyRing.seal(pairToJson(pair), inboxAt(fingerprint, 'pair'))
  await keepPair(database.claims, id, sealed, sentAt)
  atOnboardingStep('in_inbox')
  await keptCodes.forget(id)
}

/** Answers to codes that a process left on this disk when it died: into the inbox, where anybody can go on with them. */
export async function storeKeptCodes(onboarding: OnboardingDependencies): Promise<void> {
  for await (const { inboxId, body, sentAtMs } of onboarding.keptCodes.entries()) {
    const pair = findPair(body.reveal())
    const row = await findCallback(onboarding.database.db, inboxId)
    // What holds no pair, and what belongs to another database, stays on the disk for a person to look at.
    if (pair === undefined || row === undefined) continue
    await putIntoInbox(onboarding, row, { pair, sentAt: new Date(sentAtMs) })
    await releaseDead(onboarding.database.db, inboxId, onboarding.worker)
    onboarding.log.warn({ inbox: inboxId }, 'kept answer to a code found')
  }
}

function openKept(onboarding: OnboardingDependencies, row: InboxRow): KeptPair {
  const text = onboarding.keyRing.open(row.pair ?? '', inboxAt(row.fingerprint, 'pair'))
  return { pair: pairFromJson(text.reveal()), sentAt: row.pairSentAt ?? row.receivedAt }
}

/** A pair that is nowhere else is stored however long it takes. */
async function untilStored(store: () => Promise<void>, log: Logger): Promise<void> {
  for (;;) {
    try {
      return await store()
    } catch (err) {
      log.error({ err }, 'onboarded token pair not stored yet')
      await delay(STORE_RETRY_MS)
    }
  }
}
