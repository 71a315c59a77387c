import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { findReaders, type Reader } from '../../../accounts/readers.ts'
import { removeAccount } from '../../../accounts/removal.ts'
import { type AccountState, findAccount } from '../../../accounts/store.ts'
import type { Broker } from '../../../broker.ts'
import { type Html, html } from '../../../lib/html.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { actionForm } from '../fields.ts'
import { redirectWith } from '../flash.ts'
import { sendPage } from '../page.ts'
import { band, card } from '../parts.ts'
import { accountPath } from '../paths.ts'
import { hasMoved, movedNote, seenFields } from '../seen.ts'
import { readersPart } from './account-view.ts'
import { lastActOn, sendAccount } from './load-account.ts'
import { ACCOUNT_ROUTE, ACCOUNTS_PATH, AccountPageParams, keyOf } from './paths.ts'
import { nameOf, seenState } from './state.ts'

/** Asks before an account is removed, and removes it. */
export const accountRemovalPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { database } = broker

  app.get(`${ACCOUNT_ROUTE}/remove`, {
    schema: { hide: true, operationId: 'confirmRemoval', params: AccountPageParams },
    handler: async (request, reply) => {
      const key = keyOf(request.params)
      const account = await findAccount(database.db, key)
      if (account === undefined) return sendAccount(broker, request, reply, key)
      const main = removalMain(account, await findReaders(database.db, key))
      const title = `Remove ${nameOf(account)}?`
      return sendPage(request, reply, { title, section: 'accounts', main, width: 'reading' })
    },
  })

  app.post(`${ACCOUNT_ROUTE}/remove`, {
    schema: { hide: true, operationId: 'removeAccount', params: AccountPageParams },
    handler: async (request, reply) => {
      const key = keyOf(request.params)
      auditing(request, { account: key })
      const account = await findAccount(database.db, key)
      if (account === undefined) return sendAccount(broker, request, reply, key)
      if (hasMoved(request, seenState(account))) {
        auditing(request, { outcome: 'moved' })
        const note = movedNote(await lastActOn(database.db, key))
        return sendAccount(broker, request, reply, key, { status: 409, note })
      }
      const removed = await removeAccount(database, key, beginAct(request))
      if (removed === undefined) return sendAccount(broker, request, reply, key)
      const { integration, accountId } = key
      const by = callerOf(request).name
      request.log.warn({ integration, account: accountId, by }, 'account removed')
      const note = `${nameOf(account)} is removed, with every copy of its tokens. Remove the integration in the account, too.`
      return redirectWith(reply, ACCOUNTS_PATH, note)
    },
  })
}

function removalMain(account: AccountState, readers: Reader[]): Html {
  const warning =
    readers.length > 0 &&
    band('bad', 'Services use this account.', 'They get 404 for it as soon as it is removed.')
  return html`${warning}${card('Who has read it in the last week', readersPart(readers, account))}
${card(
  'What a removal does',
  html`<ul><li>The account, its tokens and every sealed copy of them are deleted here.</li>
<li>The integration stays installed in the account: remove it there, because the provider has no call that revokes tokens.</li>
<li>Tokens that services already have live until they expire.</li>
<li>Grants on the account apply again when it is connected again.</li></ul>`,
)}
<div class="acts">${actionForm({
    action: accountPath(account, '/remove'),
    label: `Remove ${nameOf(account)}`,
    tone: 'danger',
    fields: seenFields(seenState(account)),
  })}<a class="button" href="${accountPath(account)}">Keep it</a></div>`
}
