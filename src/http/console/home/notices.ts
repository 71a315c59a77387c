import type { Broker } from '../../../broker.ts'
import { explainFailure } from '../../../provider/failures.ts'
import { remedyText } from '../remedy-text.ts'
import type { Notice } from './needs.ts'

/** Titles for the parts that readiness names. */
const PARTS: Readonly<Record<string, { title: string; tone: 'warn' | 'bad' }>> = {
  hold: { title: 'This replica sends nothing', tone: 'warn' },
  postgres: { title: 'The database does not work as it should', tone: 'bad' },
  listen: { title: 'Notifications of the database are late', tone: 'warn' },
  redis: { title: 'Redis does not work', tone: 'warn' },
  callbacks: { title: 'Callbacks were lost', tone: 'bad' },
  deployment: { title: 'The database belongs to another deployment', tone: 'bad' },
  audit: { title: 'The audit was tampered with', tone: 'bad' },
  escrow: { title: 'The escrow does not work', tone: 'warn' },
  journal: { title: 'Responses of the provider cannot be kept safely', tone: 'bad' },
  key: { title: 'An encryption key is missing', tone: 'bad' },
}
const TIME_CHARACTERS = 5

/** Returns what the broker did by itself, and what does not work, the worst first. */
export function findNotices({ health, integrations }: Broker): Notice[] {
  const stopped = integrations.openBreakers().map(breakerNotice)
  const states = integrations.all().flatMap((integration) => integrationNotice(integration))
  const others = health
    .readiness()
    .degraded.filter((text) => !/^(?:breaker|integration|endpoint) /.test(text))
    .map(partNotice)
  const rank = { bad: 0, warn: 1, neutral: 2, good: 3 }
  const endpoints = health.disabledEndpoints.map(endpointNotice)
  return [...others, ...states, ...endpoints, ...stopped].toSorted(
    (a, b) => rank[a.tone] - rank[b.tone],
  )
}

type OpenBreaker = ReturnType<Broker['integrations']['openBreakers']>[number]

function breakerNotice({ key, reason, openedAt, openUntil }: OpenBreaker): Notice {
  const { problem } = explainFailure(reason)
  return {
    tone: 'warn',
    title: `Refreshes of ${key.replace(/^integration /, '')} are paused until ${clock(openUntil)}.`,
    text: `Since ${clock(openedAt)}. ${problem} One account is tried next; the rest follow if it works. Tokens are still served.`,
    link: { href: '/console/integrations', text: 'Open the integrations' },
  }
}

type Integration = ReturnType<Broker['integrations']['all']>[number]

function integrationNotice(integration: Integration): Notice[] {
  const { name, isAltered, state, stateReason, lastErrorCode } = integration
  const link = { href: `/console/integrations/${encodeURIComponent(name)}`, text: `Open ${name}` }
  if (isAltered) {
    const text =
      'Somebody other than the broker changed where its secret is sent. Nothing is sent until an operator saves it again.'
    return [{ tone: 'bad', title: `${name} was altered in the database.`, text, link }]
  }
  if (state === 'halted') {
    const text = `Too many of its accounts were about to need a new consent at once${because(stateReason)}. Nothing is refreshed until an operator resumes it. Tokens are still served.`
    return [{ tone: 'bad', title: `${name} is halted.`, text, link }]
  }
  if (state === 'paused') {
    const text = `Nothing is refreshed until it is resumed${because(stateReason)}. Tokens are still served.`
    return [{ tone: 'warn', title: `${name} is paused.`, text, link }]
  }
  if (lastErrorCode === null) return []
  const { problem, remedy } = explainFailure(lastErrorCode)
  return [
    {
      tone: 'bad',
      title: `${name}: ${lastErrorCode}`,
      text: `${problem} ${remedyText(remedy)}`,
      link,
    },
  ]
}

/** One that an operator disabled is not among them. */
function endpointNotice({ name, reason }: Broker['health']['disabledEndpoints'][number]): Notice {
  const why = reason === 'gone' ? 'It answered 410' : 'Nothing could be delivered for five days'
  return {
    tone: 'warn',
    title: `The endpoint ${name} gets no events.`,
    text: `${why}, so the broker disabled it. Correct the receiver, then enable the endpoint.`,
    link: { href: `/console/endpoints/${encodeURIComponent(name)}`, text: `Open ${name}` },
  }
}

function partNotice(text: string): Notice {
  const [, part = '', rest = text] = /^(\w+)[^:]*: (.*)$/s.exec(text) ?? []
  const { title, tone } = PARTS[part] ?? { title: part, tone: 'warn' }
  const why = rest.replace(/^tampered with, /, '').replace(/\.$/, '')
  return { tone, title: `${title}.`, text: `${why.charAt(0).toUpperCase()}${why.slice(1)}.` }
}

function because(reason: string | null): string {
  return reason === null ? '' : ` (${reason})`
}

function clock(time: Date): string {
  return `${time.toISOString().slice(11, 11 + TIME_CHARACTERS)} UTC`
}
