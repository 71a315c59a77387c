import type { AccountCheck } from '../../../accounts/account-checks.ts'
import { type Html, html } from '../../../lib/html.ts'
import { badge, stackTable } from '../parts.ts'
import { accountPath } from '../paths.ts'
import { remedyText } from '../remedy-text.ts'
import { nameOf } from './state.ts'

type Line = AccountCheck['lines'][number]

const NAMES: Record<Line['name'], string> = {
  account: 'Account',
  users: 'Users',
  pipelines: 'Pipelines',
  leads: 'Leads',
  refresh_token: 'Refresh token',
}
const TOO_MANY_REQUESTS = 429

/** Returns the heading of the result of a check. */
export function checkTitle(check: AccountCheck): string {
  const name = nameOf(check)
  const tried = check.lines.filter((line) => !isUntried(line))
  if (tried.length === 0) return `The token of ${name} was not tried`
  return tried.every(({ ok }) => ok)
    ? `The token of ${name} works`
    : `Not everything works with the token of ${name}`
}

/** Shows each call of a check. */
export function checkMain(check: AccountCheck): Html {
  const rows = check.lines.map((line) => [
    NAMES[line.name],
    resultOf(line),
    `${line.ms} ms`,
    html`${noteOf(line)}${line.remedy !== undefined && !isUntried(line) && html` ${remedyText(line.remedy)}`}`,
  ])
  return html`${stackTable('Calls', ['Call', 'Result', 'Time', 'Found'], rows)}
<p><a href="${accountPath(check)}">Back to ${nameOf(check)}</a></p>`
}

/** The provider refused the call without looking at the token. */
function isUntried({ status }: Line): boolean {
  return status === TOO_MANY_REQUESTS
}

function resultOf(line: Line): Html {
  if (isUntried(line)) return badge('warn', 'not tried')
  return badge(
    line.ok ? 'good' : 'bad',
    line.ok ? 'works' : (line.status?.toString() ?? 'no answer'),
  )
}

function noteOf(line: Line): string {
  if (isUntried(line)) return 'Too many requests at the provider: try again in a minute.'
  const { count, more, note } = line
  // Of an empty list the note says so.
  const found = count === undefined || count === 0 ? '' : `${count}${more ? ' and more' : ''}`
  return [found, note].filter(Boolean).join('. ') || (count === 0 ? 'none' : '')
}
