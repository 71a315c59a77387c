import type { FastifyError, FastifyInstance } from 'fastify'
import type { Broker } from '../../broker.ts'
import { ERRORS } from '../../lib/errors.ts'
import { html } from '../../lib/html.ts'
import { auditing } from '../plugins/audit.ts'
import { asBrokerError } from '../plugins/problems.ts'
import { sendMemoryPage } from './memory-page.ts'
import { sendPage } from './page.ts'
import { remedyText } from './remedy-text.ts'

/** Turns every error of the console into a page that says what to do. */
export function sendErrorPages(app: FastifyInstance, broker: Broker): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const { code, message, statusCode, members, retryAfterSeconds } = asBrokerError(error)
    auditing(request, { outcome: code })
    // The storage logs once that it is lost; pages poll every few seconds.
    if (statusCode >= 500 && code !== 'storage_unavailable') {
      request.log.error({ err: error, request_id: request.id }, 'page failed')
    }
    if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds)
    if (code === 'storage_unavailable') return sendMemoryPage(request, reply, broker)
    const [, title, remedy] = ERRORS[code]
    const main = html`<p>${message}</p>
<p>${remedyText(String(members.remedy ?? remedy))}</p>
<p class="muted">${code} · request <code>${request.id}</code> · <a href="/console">Home</a></p>`
    return sendPage(request, reply, {
      title,
      section: null,
      main,
      status: statusCode,
      width: 'reading',
    })
  })
}
