import type { AccountState } from '../../../accounts/store.ts'
import { type Html, html } from '../../../lib/html.ts'
import { useUntilMs } from '../../../pairs/plan.ts'
import { badge, type Tone } from '../parts.ts'
import { clockTag, timeTag } from '../times.ts'

const DAY_MS = 24 * 3600 * 1000

const STATUS: Record<AccountState['status'], readonly [tone: Tone, text: string]> = {
  active: ['good', 'active'],
  pending: ['warn', 'awaits approval'],
  reauth_required: ['bad', 'needs a new consent'],
  disconnected: ['bad', 'disconnected'],
}

/** Returns what operators call an account: its host, or else its id. */
export function nameOf({ domain, accountId }: Pick<AccountState, 'domain' | 'accountId'>): string {
  return domain ?? String(accountId)
}

/** Returns the state of an account in a word or two. */
export function stateBadges({ status, paused, shadow }: AccountState): Html {
  const [tone, text] = STATUS[status]
  return html`${badge(tone, text)}${paused && html` ${badge('warn', 'paused')}`}${
    shadow && html` ${badge('neutral', 'shadow')}`
  }`
}

/** Returns the heading of the page of an account. */
export function stateTitle(account: AccountState): string {
  const name = nameOf(account)
  if (account.status === 'pending') return `${name} waits for approval`
  if (account.status === 'reauth_required') return `${name} needs a new consent`
  if (account.status === 'disconnected') return `${name} is disconnected`
  if (account.paused) return `${name} is paused`
  if (account.shadow) return `${name} is a shadow`
  return account.failedAttempts > 0 ? `${name} has trouble` : `${name} is active`
}

/** Explains the state of an account in sentences: what is served, and what happens next. */
export function stateSentences(account: AccountState, now: Date): Html {
  const { status, statusSince } = account
  if (status === 'pending') {
    return html`Nobody expected this account, so it has been waiting for approval ${since(statusSince)}.
Its token is kept alive and handed to no service until somebody approves it.`
  }
  if (status === 'disconnected') {
    return html`Disconnected ${since(statusSince)}: the integration was switched off in the account. No token
is handed out. A new consent connects it again.`
  }
  if (status === 'reauth_required') {
    const isOver = account.accessDeadAt !== null || account.expiresAt <= now
    const served = isOver
      ? html`No token is handed out, and this account has needed a new consent ${since(statusSince)}.`
      : html`It has needed a new consent ${since(statusSince)}. Services get the present token until it ends,
${clockTag(account.expiresAt, now)}, and then none.`
    return html`${served} An administrator of the account has to consent again: send them a reconnect link.`
  }
  return html`${servedSentence(account, now)} ${planSentence(account, now)}`
}

function servedSentence(account: AccountState, now: Date): Html {
  const { expiresAt, accessDeadAt, kind } = account
  if (accessDeadAt !== null) {
    return html`Active, but the provider refused the access token ${timeTag(accessDeadAt, now)}, so it is not
handed out.`
  }
  if (expiresAt <= now) {
    return html`Active, but the token ended ${timeTag(expiresAt, now)}. Services wait for the next refresh.`
  }
  if (kind === 'long_lived')
    return html`Active. The long-lived token is valid until ${clockTag(expiresAt, now)}.`
  const promised = new Date(useUntilMs(account))
  const promise =
    promised > now && !account.shadow && html`, promised until ${clockTag(promised, now)}`
  return html`Active. The token is valid until ${clockTag(expiresAt, now)}${promise}.`
}

function planSentence(account: AccountState, now: Date): Html {
  const { kind, paused, shadow, nextAttemptAt, refreshAt, failedAttempts } = account
  if (kind === 'long_lived')
    return html`It is never refreshed: a new one has to be imported before it ends.`
  if (shadow)
    return html`Another service refreshes this account. It is only served here until the shadow ends.`
  if (paused)
    return html`It is paused, so nothing is refreshed. Services get the token until it ends.`
  if (nextAttemptAt === null) return html`No refresh is planned.`
  if (failedAttempts > 0) {
    const times = failedAttempts === 1 ? 'The last attempt' : `The last ${failedAttempts} attempts`
    return html`${times} failed; the next one is at about ${clockTag(nextAttemptAt, now)}.`
  }
  if (nextAttemptAt <= now) return html`A refresh is due.`
  if (refreshAt !== null && nextAttemptAt.getTime() - refreshAt.getTime() > DAY_MS) {
    return html`Nobody has read it for a week, so it is refreshed when somebody does, and at the latest on
${clockTag(nextAttemptAt, now)}.`
  }
  return html`The next refresh is at about ${clockTag(nextAttemptAt, now)}.`
}

function since(time: Date): Html {
  return html`since ${clockTag(time)}`
}

/** The state that an action form was made for, for `hasMoved`. */
export function seenState({ status, paused, shadow, domain }: AccountState): unknown {
  return [status, paused, shadow, domain]
}
