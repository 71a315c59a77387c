import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { cleanUp, countLeftOver, findLeftOver } from '../../../accounts/clean-up.ts'
import type { AccountState } from '../../../accounts/store.ts'
import type { Broker } from '../../../broker.ts'
import { keyText } from '../../../lib/account-key.ts'
import { type Html, html } from '../../../lib/html.ts'
import { Type } from '../../../lib/type.ts'
import { beginAct } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { textField } from '../fields.ts'
import { redirectWith } from '../flash.ts'
import { emptyForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { emptyState, stackTable } from '../parts.ts'
import { accountPath } from '../paths.ts'
import { clockTag } from '../times.ts'
import { CLEAN_PATH } from './paths.ts'
import { nothingSelected, selectedKeys } from './selection.ts'
import { nameOf, stateBadges } from './state.ts'

const PAGE = 200
const DEFAULT_DAYS = 90
const MAX_DAYS = 3_650

const DaysQuery = Type.Object({ days: Type.Optional(Type.String({ maxLength: 10 })) })

/** Shows and removes accounts that have had no use for long. */
export const cleanPages: FastifyPluginAsyncTypebox<Broker> = async (app, { database }) => {
  app.get(CLEAN_PATH, {
    schema: { hide: true, operationId: 'listCleanUp', querystring: DaysQuery },
    handler: async (request, reply) => {
      const days = daysOf(request.query.days)
      const accounts = await findLeftOver(database.db, days, PAGE)
      const isAll = accounts.length < PAGE
      const total = isAll ? accounts.length : await countLeftOver(database.db, days)
      const title =
        total === 0
          ? `Nothing to clean up after ${days} days`
          : `${total} ${total === 1 ? 'account has' : 'accounts have'} had no use for ${days} days`
      const main = cleanMain(accounts, total, days)
      return sendPage(request, reply, { title, section: 'accounts', main })
    },
  })

  app.post(CLEAN_PATH, {
    schema: { hide: true, operationId: 'cleanUp' },
    handler: async (request, reply) => {
      const keys = selectedKeys(request)
      if (keys.length === 0) return nothingSelected(request, reply)
      const days = daysOf(Reflect.get(Object(request.body), 'days'))
      const removed = await cleanUp(database, keys, days, beginAct(request))
      const by = callerOf(request).name
      request.log.warn({ accounts: removed.length, by }, 'accounts cleaned up')
      const left = keys.length - removed.length
      const rest =
        left === 0
          ? ''
          : ` ${left} left alone: connected, changed or removed by somebody meanwhile.`
      const path = `${CLEAN_PATH}?days=${days}`
      return redirectWith(reply, path, `${removed.length} removed, with their tokens.${rest}`)
    },
  })
}

function daysOf(text: unknown): number {
  const days = Number(text)
  return Number.isSafeInteger(days) && days >= 1 && days <= MAX_DAYS ? days : DEFAULT_DAYS
}

function cleanMain(accounts: AccountState[], total: number, days: number): Html {
  const form = emptyForm({ days: String(days) })
  const filter = html`<form class="inline" method="get" action="${CLEAN_PATH}">
${textField(form, { name: 'days', label: 'Older than (days)', type: 'number', isRequired: true })}<button>Show</button></form>`
  const intro = html`<p>Accounts that have needed a new consent or have been disconnected for longer than this, and accounts that nobody has
approved for as long. Nothing is removed until you confirm it here.</p>`
  if (accounts.length === 0) return html`${intro}${filter}${emptyState('There is none.')}`
  const rows = accounts.map((account) => [
    html`<input type="checkbox" name="accounts" value="${keyText(account)}" aria-label="Remove ${nameOf(account)}" checked>
<a href="${accountPath(account)}">${account.label ?? nameOf(account)}</a>
<br><small>${account.accountId} · ${account.integration}</small>`,
    stateBadges(account),
    clockTag(account.statusSince),
    account.lastReadAt === null ? 'never' : clockTag(account.lastReadAt),
  ])
  const more =
    total > accounts.length && html`<p>These are the first ${accounts.length} of ${total}.</p>`
  return html`${intro}${filter}${more}<form method="post" action="${CLEAN_PATH}">
<input type="hidden" name="days" value="${days}">
${stackTable('Accounts without use', ['Account', 'State', 'Since', 'Last read'], rows)}
<button class="danger">Remove the selected accounts and their tokens</button></form>`
}
