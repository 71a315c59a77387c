import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { findAccountsByKeys, setPaused } from '../../../accounts/store.ts'
import type { Broker } from '../../../broker.ts'
import { type AccountKey, keyText } from '../../../lib/account-key.ts'
import { BrokerError } from '../../../lib/errors.ts'
import { type Content, html } from '../../../lib/html.ts'
import { beginAct } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { redirectWith } from '../flash.ts'
import { sendPage } from '../page.ts'
import { badge, stackTable } from '../parts.ts'
import { accountPath } from '../paths.ts'
import { checkTitle } from './check-view.ts'
import { ACCOUNTS_PATH } from './paths.ts'
import { backOf, nothingSelected, selectedKeys } from './selection.ts'
import { nameOf } from './state.ts'

/** A check is five calls, and people wait for the page. */
const MAX_CHECKS = 10

/** Acts on the accounts that are ticked in the list. */
export const bulkPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { database } = broker

  for (const [action, paused] of [
    ['pause', true],
    ['resume', false],
  ] as const) {
    app.post(`${ACCOUNTS_PATH}/${action}`, {
      schema: { hide: true, operationId: `${action}Account` },
      handler: async (request, reply) => {
        const accounts = await findAccountsByKeys(database.db, selectedKeys(request))
        if (accounts.length === 0) return nothingSelected(request, reply)
        const act = beginAct(request)
        const changed = accounts.filter((account) => account.paused !== paused)
        for (const account of changed) await setPaused(database.db, account, paused, act)
        const others = accounts.length - changed.length
        const done = `${count(changed.length)} ${paused ? 'paused' : 'resumed'}.`
        const already = `${count(others)} already ${paused ? 'paused' : 'resumed'}.`
        return redirectWith(reply, backOf(request), others === 0 ? done : `${done} ${already}`)
      },
    })
  }

  app.post(`${ACCOUNTS_PATH}/check`, {
    schema: { hide: true, operationId: 'checkAccount' },
    handler: async (request, reply) => {
      const keys = selectedKeys(request)
      const accounts = await findAccountsByKeys(database.db, keys.slice(0, MAX_CHECKS))
      if (accounts.length === 0) return nothingSelected(request, reply)
      const rows: Content[][] = []
      for (const account of accounts) {
        const link = html`<a href="${accountPath(account)}">${account.label ?? nameOf(account)}</a>`
        rows.push([link, ...(await check(account))])
      }
      const left = keys.length - accounts.length
      const main = html`${stackTable('Results', ['Account', 'Result', 'Found'], rows)}
${left > 0 && html`<p>${count(left)} not checked: at most ${MAX_CHECKS} are checked at a time.</p>`}
<p><a href="${backOf(request)}">Back to the list</a></p>`
      const title =
        accounts.length === 1 ? 'One account checked' : `${accounts.length} accounts checked`
      return sendPage(request, reply, { title, section: 'accounts', main })

      async function check(key: AccountKey): Promise<Content[]> {
        try {
          const token = await broker.lookup.fresh(key)
          if (token === undefined) return [badge('bad', 'gone'), 'It was removed.']
          const result = await broker.checks.check(callerOf(request), token, beginAct(request))
          const isOk = result.lines.every(({ ok }) => ok)
          return [badge(isOk ? 'good' : 'bad', isOk ? 'works' : 'look'), checkTitle(result)]
        } catch (error) {
          if (!(error instanceof BrokerError)) throw error
          request.log.info({ account: keyText(key), code: error.code }, 'account not checked')
          return [badge('bad', error.code), error.message]
        }
      }
    },
  })
}

function count(accounts: number): string {
  if (accounts === 0) return 'No account'
  return accounts === 1 ? '1 account' : `${accounts} accounts`
}
