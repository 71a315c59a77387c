import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Kysely } from 'kysely'
import { findAttempts } from '../../../accounts/attempts.ts'
import { findReaders } from '../../../accounts/readers.ts'
import { findAccount } from '../../../accounts/store.ts'
import { findAccountActs } from '../../../audit/account-acts.ts'
import type { Broker } from '../../../broker.ts'
import type { Tables } from '../../../db/tables.ts'
import type { AccountKey } from '../../../lib/account-key.ts'
import { type Html, html } from '../../../lib/html.ts'
import { findAccountOnboardings } from '../../../onboarding/account-onboardings.ts'
import { readScopes } from '../../../provider/access-token.ts'
import { auditing } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { sendPage } from '../page.ts'
import { accountPath } from '../paths.ts'
import { clockTag } from '../times.ts'
import { accountMain } from './account-view.ts'
import { ACCOUNTS_PATH } from './paths.ts'
import { stateTitle } from './state.ts'
import {
  actText,
  type Entry,
  entryOfAct,
  entryOfAttempt,
  entryOfOnboarding,
  withoutEchoes,
} from './timeline.ts'

/** Enough for a month of an account in use. */
const ATTEMPTS = 100
const OTHERS = 50

interface Shown {
  failures?: boolean | undefined
  unfolded?: boolean | undefined
  status?: number
  note?: Html
}

/** Sends the page of an account, or the page that explains that it is gone. */
export async function sendAccount(
  broker: Broker,
  request: FastifyRequest,
  reply: FastifyReply,
  key: AccountKey,
  { failures = false, unfolded = false, status = 200, note }: Shown = {},
): Promise<FastifyReply> {
  const { db } = broker.database
  const isOperator = callerOf(request).role === 'operator'
  const account = await findAccount(db, key)
  if (account === undefined) return sendGone(db, request, reply, key, isOperator)
  const [entries, readers, scopes] = await Promise.all([
    findEntries(db, key, isOperator, failures),
    isOperator ? findReaders(db, key) : undefined,
    findScopes(broker, key),
  ])
  const timeline = { path: accountPath(key), failuresOnly: failures, unfolded }
  const now = new Date()
  return sendPage(request, reply, {
    title: stateTitle(account),
    section: 'accounts',
    main: accountMain({ account, scopes, entries, readers, timeline, now, note }),
    isLive: true,
    status,
  })
}

/** Returns who did the last thing with an account, as a sentence; undefined: nobody. */
export async function lastActOn(db: Kysely<Tables>, key: AccountKey): Promise<string | undefined> {
  const acts = await findAccountActs(db, key, OTHERS)
  const act = acts.find(({ actor, outcome }) => actor !== 'database' && outcome === 'done')
  return act && `${actText(act)}.`
}

/** Acts are part of the audit, which monitors do not see. */
async function findEntries(
  db: Kysely<Tables>,
  key: AccountKey,
  isOperator: boolean,
  failures: boolean,
): Promise<Entry[]> {
  const [attempts, onboardings, acts] = await Promise.all([
    findAttempts(db, key, { failures }, ATTEMPTS),
    findAccountOnboardings(db, key, OTHERS),
    isOperator ? findAccountActs(db, key, OTHERS) : [],
  ])
  return [
    ...attempts.map(entryOfAttempt),
    ...onboardings.map(entryOfOnboarding),
    ...withoutEchoes(acts).map(entryOfAct),
  ]
}

async function findScopes(broker: Broker, key: AccountKey): Promise<string[] | null> {
  try {
    const token = await broker.lookup.fresh(key)
    return token === undefined ? null : readScopes(token.accessToken().reveal())
  } catch {
    // Its key is not loaded, or the row was altered: the doctor says so.
    return null
  }
}

async function sendGone(
  db: Kysely<Tables>,
  request: FastifyRequest,
  reply: FastifyReply,
  key: AccountKey,
  isOperator: boolean,
): Promise<FastifyReply> {
  auditing(request, { outcome: 'account_not_found' })
  const removed = await findRemoval(db, key)
  const by = isOperator ? await lastActOn(db, key) : undefined
  const text =
    removed === undefined
      ? html`No account ${key.accountId} of the integration ${key.integration} is known here. It was never
connected, or its integration has another name.`
      : html`Account ${key.accountId} of ${key.integration} was removed on ${clockTag(removed)}, with every copy of
its tokens. ${by} If somebody connects it again, it appears here again.`
  return sendPage(request, reply, {
    title: removed === undefined ? 'There is no such account' : 'This account was removed',
    section: 'accounts',
    main: html`<p>${text}</p><p class="acts"><a class="button" href="${ACCOUNTS_PATH}?q=${String(key.accountId)}">Search for it</a>
<a class="button" href="/console/onboarding">Connect an account</a></p>`,
    status: 404,
    width: 'reading',
  })
}

async function findRemoval(db: Kysely<Tables>, key: AccountKey): Promise<Date | undefined> {
  const row = await db
    .selectFrom('amo_removals')
    .select('removedAt')
    .where('integration', '=', key.integration)
    .where('accountId', '=', key.accountId)
    .executeTakeFirst()
  return row?.removedAt
}
