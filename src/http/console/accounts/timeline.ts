import type { Attempt } from '../../../accounts/attempts.ts'
import type { AccountAct } from '../../../audit/account-acts.ts'
import { type Html, html } from '../../../lib/html.ts'
import type { AccountOnboarding } from '../../../onboarding/account-onboardings.ts'
import { explainFailure } from '../../../provider/failures.ts'
import { badge, type Tone } from '../parts.ts'
import { durationText } from '../times.ts'

const OWNER_CHARACTERS = 8

export interface Entry {
  at: Date
  text: Html
  /** Routine that nobody has to look at. Several in a row are folded. */
  isRoutine: boolean
  isFailure: boolean
}

/** Words for what operators do with one account. Other acts are shown by their name. */
const ACTS: Record<string, string> = {
  approveAccount: 'Approved',
  takeAccountOver: 'Shadow ended',
  checkAccount: 'Checked',
  pauseAccount: 'Paused',
  resumeAccount: 'Resumed',
  labelAccount: 'Labelled',
  importAccount: 'Imported',
  removeAccount: 'Removed',
  cleanUp: 'Removed in a clean-up',
  reportToken: 'Refreshed by force',
  createReconnectLinks: 'Reconnect link made',
}
/** Words for changes in the database, whoever made them. */
const CHANGES: Record<string, (outcome: string) => string> = {
  accountCreated: (status) => `Connected: ${STATUS_WORDS[status] ?? status}`,
  accountRemoved: () => 'Removed',
  accountStatus: (status) => `Became ${STATUS_WORDS[status] ?? status}`,
  accountPaused: (outcome) => (outcome === 'paused' ? 'Paused' : 'Resumed'),
  accountShadow: (outcome) => (outcome === 'ended' ? 'Shadow ended' : 'Became a shadow'),
  accountDomain: (outcome) =>
    outcome === 'lost' ? 'Lost its host to another account' : 'Moved to another host',
  accountLabel: (outcome) => (outcome === 'removed' ? 'Label removed' : 'Label changed'),
  accountChanged: () => 'Changed in the database',
  accountTokens: () => 'Tokens replaced in the database',
}
const STATUS_WORDS: Record<string, string> = {
  active: 'active',
  pending: 'pending approval',
  reauth_required: 'in need of a new consent',
  disconnected: 'disconnected',
}
/** A trigger records a change right before or after the act that made it. */
const SAME_ACT_MS = 1_000

/** Says who did what with an account. */
export function actText({ actor, action, outcome }: AccountAct): string {
  if (actor === 'database') return CHANGES[action]?.(outcome) ?? `${action} (${outcome})`
  const result = outcome === 'done' ? '' : ` (${outcome})`
  return `${ACTS[action] ?? action} by ${actor}${result}`
}

/** Leaves out the changes that an act of an operator explains. */
export function withoutEchoes(acts: AccountAct[]): AccountAct[] {
  const own = acts.filter(({ actor, outcome }) => actor !== 'database' && outcome === 'done')
  return acts.filter(
    ({ actor, at, action }) =>
      actor !== 'database' ||
      action === 'accountStatus' ||
      !own.some((act) => Math.abs(act.at.getTime() - at.getTime()) < SAME_ACT_MS),
  )
}

/** Returns an entry for an act. */
export function entryOfAct(act: AccountAct): Entry {
  return { at: act.at, text: html`${actText(act)}`, isRoutine: false, isFailure: false }
}

/** Returns an entry for a consent, an install or a disconnect. */
export function entryOfOnboarding(row: AccountOnboarding): Entry {
  const { kind, origin, outcome, receivedAt } = row
  const what = kind === 'disconnect' ? 'Disconnect hook' : `Onboarding (${origin})`
  const isDone = outcome === null || ['connected', 'disconnected', 'pending'].includes(outcome)
  return {
    at: receivedAt,
    text: html`${what}: ${badge(isDone ? 'neutral' : 'warn', outcome ?? 'in progress')}`,
    isRoutine: false,
    isFailure: !isDone,
  }
}

/** Returns an entry for a refresh attempt, with its steps. */
export function entryOfAttempt(attempt: Attempt): Entry {
  const { outcome, outcomeCode, claimedAt } = attempt
  const [tone, sentence] = attemptSentence(attempt)
  const isFailure = tone === 'bad' || tone === 'warn'
  const problem =
    isFailure && outcomeCode !== null && html` <span>${explainFailure(outcomeCode).problem}</span>`
  return {
    at: claimedAt,
    text: html`${badge(tone, sentence)}${problem}
<div class="muted">${stepsText(attempt)}</div>`,
    isRoutine: outcome === 'committed' || outcomeCode === 'checked',
    isFailure,
  }
}

function attemptSentence({ outcome, outcomeCode, purpose }: Attempt): [Tone, string] {
  if (outcome === null) return ['neutral', 'refresh in progress']
  if (outcome === 'committed') return ['good', 'refreshed']
  if (outcome === 'refused') return ['bad', `refused: ${outcomeCode ?? 'no reason'}`]
  if (outcome === 'lost') return ['bad', 'pair lost']
  if (outcome === 'superseded') return ['neutral', 'another pair was stored meanwhile']
  if (outcomeCode === 'checked') return ['neutral', 'probed']
  if (outcomeCode !== null) return ['warn', `failed: ${outcomeCode}`]
  return ['neutral', purpose === 'verdict' ? 'probe ended' : 'released without sending']
}

const STEPS: Record<string, string> = {
  claimed: 'claimed',
  reclaimed: 'taken over',
  probed: 'probed',
  sent: 'sent',
  unresolved: 'no clear response',
  committed: 'response stored and committed',
  parked: 'pair parked',
  finished: 'finished',
}
/** Results that only repeat what the step or the outcome says. */
const OBVIOUS = new Set(['first', 'not_sent', 'refresh'])

/** Lists the steps with the time since the first, and the replica where it changes. */
function stepsText({ steps, owner }: Attempt): string {
  const [first] = steps
  if (first === undefined) return `by replica ${owner.slice(0, OWNER_CHARACTERS)}`
  const beganMs = Date.parse(first.at)
  let replica = ''
  const words = steps.map(({ kind, at, owner: by, result }) => {
    const ms = Date.parse(at) - beganMs
    const after = ms > 0 ? ` after ${ms < 1000 ? `${ms} ms` : durationText(ms)}` : ''
    const detail = result === undefined || OBVIOUS.has(result) ? '' : ` (${result})`
    const where = by === replica ? '' : ` by replica ${by.slice(0, OWNER_CHARACTERS)}`
    replica = by
    return `${STEPS[kind] ?? kind}${detail}${where}${after}`
  })
  return words.join(' · ')
}
