import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { type AccountState, findAccount, findAccountsByKeys } from '../../../accounts/store.ts'
import type { Broker } from '../../../broker.ts'
import { type Html, html } from '../../../lib/html.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { sendDownload, toCsv } from '../csv.ts'
import { sendPage } from '../page.ts'
import { band, copyField } from '../parts.ts'
import { accountPath } from '../paths.ts'
import { sendAccount } from './load-account.ts'
import { ACCOUNT_ROUTE, ACCOUNTS_PATH, AccountPageParams, keyOf } from './paths.ts'
import { qrCode } from './qr-code.ts'
import { backOf, nothingSelected, selectedKeys } from './selection.ts'
import { nameOf } from './state.ts'

interface MadeLink {
  account: AccountState
  url: string
}

/** Makes links that let administrators consent again. */
export const reconnectLinkPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { database, links } = broker

  app.post(`${ACCOUNT_ROUTE}/link`, {
    schema: { hide: true, operationId: 'createReconnectLinks', params: AccountPageParams },
    handler: async (request, reply) => {
      const key = keyOf(request.params)
      auditing(request, { account: key, detail: { links: 1 } })
      const account = await findAccount(database.db, key)
      if (account === undefined) return sendAccount(broker, request, reply, key)
      await beginAct(request).record(database.db)
      const url = await links.reconnectUrl(account, account.generation)
      return sendPage(request, reply, {
        title: `Reconnect link for ${nameOf(account)}`,
        section: 'accounts',
        main: await linkMain(account, url),
        holdsSecret: true,
        width: 'reading',
      })
    },
  })

  app.post(`${ACCOUNTS_PATH}/links`, {
    schema: { hide: true, operationId: 'createReconnectLinks' },
    handler: async (request, reply) => {
      const made = await makeLinks(broker, request)
      if (made.length === 0) return nothingSelected(request, reply)
      return sendPage(request, reply, {
        title: made.length === 1 ? 'One reconnect link' : `${made.length} reconnect links`,
        section: 'accounts',
        main: linksMain(made, backOf(request)),
        holdsSecret: true,
      })
    },
  })

  app.post(`${ACCOUNTS_PATH}/links.csv`, {
    schema: { hide: true, operationId: 'createReconnectLinks' },
    handler: async (request, reply) => {
      const made = await makeLinks(broker, request)
      if (made.length === 0) return nothingSelected(request, reply)
      const header = ['account_id', 'integration', 'domain', 'label', 'status', 'last_error', 'url']
      const rows = made.map(({ account, url }) => [
        account.accountId,
        account.integration,
        account.domain,
        account.label,
        account.status,
        account.lastErrorCode,
        url,
      ])
      return sendDownload(reply, 'reconnect-links.csv', 'text/csv', toCsv(header, rows))
    },
  })
}

/** Makes the links of the selected accounts, and records the act first. */
async function makeLinks(
  { database, links }: Broker,
  request: FastifyRequest,
): Promise<MadeLink[]> {
  const accounts = await findAccountsByKeys(database.db, selectedKeys(request))
  if (accounts.length === 0) return []
  auditing(request, { detail: { links: accounts.length } })
  await beginAct(request).record(database.db)
  const made: MadeLink[] = []
  for (const account of accounts) {
    made.push({ account, url: await links.reconnectUrl(account, account.generation) })
  }
  return made
}

async function linkMain(account: AccountState, url: string): Promise<Html> {
  const name = nameOf(account)
  const code = await qrCode(url, `QR code of the reconnect link for ${name}`)
  const works =
    account.status === 'active' &&
    band('neutral', 'This account works.', 'Nobody has to consent, but a new consent does no harm.')
  return html`${works}<p>Send it to an administrator of ${name}, by mail or chat. It connects this account only, and works
once. It stays the same for a week, whoever asks for it.</p>
${copyField('link', 'Reconnect link', url)}
<div>${code}</div>
<p class="acts"><a class="button" href="${accountPath(account)}">Back to ${name}</a>
<a class="button" href="${ACCOUNTS_PATH}?status=reauth_required">Other accounts that need a consent</a></p>`
}

function linksMain(made: MadeLink[], back: string): Html {
  const fields = made.map(({ account, url }, index) =>
    copyField(`link-${index}`, `${account.label ?? nameOf(account)} (${account.accountId})`, url),
  )
  return html`<p>Each link is for its account only, works once, and stays the same for a week.</p>${fields}
<p><a href="${back}">Back to the list</a></p>`
}
