import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Broker } from '../../broker.ts'
import { html } from '../../lib/html.ts'
import { noticeView } from './home/home-view.ts'
import { findNotices } from './home/notices.ts'
import { sendPage } from './page.ts'
import { badge, card, stackTable } from './parts.ts'

/**
 * Sends what this process knows without PostgreSQL, to those whose session was verified in the last
 * minutes. Others learn only that the storage is away.
 */
export function sendMemoryPage(
  request: FastifyRequest,
  reply: FastifyReply,
  broker: Broker,
): FastifyReply {
  const { health, database, integrations } = broker
  const { state, reason, remedy } = database.storage
  const isStarting = health.phase !== 'ready'
  const title = isStarting
    ? `The broker is ${health.phase}`
    : state === 'read_only'
      ? 'PostgreSQL is read-only: nothing can be changed'
      : 'PostgreSQL does not answer'
  const known =
    request.session?.caller !== undefined &&
    html`${findNotices(broker).map(noticeView)}
${card(
  'Integrations, as this process last saw them',
  stackTable(
    'Integrations',
    ['Integration', 'State'],
    integrations
      .all()
      .map(({ name, state: each, stateReason }) => [
        name,
        html`${badge(each === 'running' ? 'good' : 'warn', each)} ${stateReason}`,
      ]),
  ),
)}`
  const main = html`<section class="band bad"><b>Tokens that are in memory are still served until they expire.</b>
<div>Reason: ${reason}. ${remedy}</div></section>
<p>This page shows what is in memory. Actions are not possible until PostgreSQL works. The page asks again by itself.</p>${known}`
  return sendPage(request, reply, { title, section: null, main, status: 503, isLive: true })
}
