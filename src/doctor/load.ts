import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { isInUse } from '../pairs/idle.ts'
import { REFRESH_SHARE } from '../pairs/plan.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const DAY_SECONDS = 24 * 3600
/** Refresh interval of idle accounts. */
const IDLE_SECONDS = 30 * DAY_SECONDS
/** Above this share of the pace, refreshes delayed by an hour are not done before tokens expire. */
const FULL = 0.7
/** A refresh that is overdue for longer is a sign of a backlog. */
const OVERDUE_SECONDS = 900

interface Load {
  integration: string
  pace: number
  used: number
  idle: number
  lifetimeSeconds: number | null
  overdueSeconds: number
  reauth: number
  pending: number
  ending: number
}

/** Examines whether the accounts fit the pace, and which of them need an operator. */
export async function examineLoad(db: Kysely<Tables>): Promise<Finding[]> {
  const { rows } = await sql<Load>`
    with accounts as (
      select *, status in ('active', 'pending') and kind = 'oauth' and not paused and not shadow as refreshed,
        ${isInUse} as used
      from amo_tokens
    )
    select i.name as integration, i."pacePerSecond" as pace,
      count(*) filter (where refreshed and used)::int as used,
      count(*) filter (where refreshed and not used)::int as idle,
      avg(extract(epoch from "expiresAt" - "issuedAt")) filter (where refreshed)::float8 as "lifetimeSeconds",
      coalesce(max(extract(epoch from now() - "nextAttemptAt")) filter (where refreshed), 0)::float8 as "overdueSeconds",
      count(*) filter (where status = 'reauth_required')::int as reauth,
      count(*) filter (where status = 'pending')::int as pending,
      count(*) filter (where status = 'active' and not (refreshed and used)
        and coalesce("refreshTokenExpiresAt", "expiresAt") < now() + interval '14 days')::int as ending
    from amo_integrations i left join accounts a on a.integration = i.name
    group by i.name, i."pacePerSecond" order by i.name
  `.execute(db)
  return rows.flatMap(findingsOf)
}

function findingsOf(load: Load): Finding[] {
  const { integration, used, idle, reauth, pending, ending, overdueSeconds, pace } = load
  const everySeconds = (load.lifetimeSeconds ?? DAY_SECONDS) * REFRESH_SHARE
  const perSecond = used / everySeconds + idle / IDLE_SECONDS
  const share = perSecond / pace
  const text =
    `${integration}: ${used} accounts in use, ${idle} idle: ${perSecond.toPrecision(2)} refreshes per second, ` +
    `${Math.round(share * 100)} % of the pace (${pace}/s)`
  const remedy =
    'Raise PACE_PER_SECOND. The provider allows 7 calls per second for the broker and your services together.'
  const findings = [share > 1 ? fail(text, remedy) : share > FULL ? warn(text, remedy) : ok(text)]
  if (overdueSeconds > OVERDUE_SECONDS) {
    findings.push(
      warn(
        `${integration}: a refresh has been due for ${Math.round(overdueSeconds / 60)} minutes`,
        'If a broker is running, amo-broker integrations list shows why nothing is sent.',
      ),
    )
  }
  const waiting: [number, string, string][] = [
    [
      reauth,
      'need a new consent',
      'amo-broker reconnect prints a link for each (accounts list --status reauth_required).',
    ],
    [
      pending,
      'wait for approval',
      'amo-broker accounts list --status pending, then accounts approve.',
    ],
    [
      ending,
      'have at most two weeks left',
      'amo-broker accounts list, then accounts import with a new token.',
    ],
  ]
  for (const [accounts, what, how] of waiting) {
    if (accounts > 0) findings.push(warn(`${integration}: ${accounts} accounts ${what}`, how))
  }
  return findings
}
