import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type AccountState, findAccount, setLabel } from '../../../accounts/store.ts'
import type { Broker } from '../../../broker.ts'
import { LABEL_PATTERN } from '../../../contract/fields.ts'
import { type Html, html } from '../../../lib/html.ts'
import { Type } from '../../../lib/type.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { hiddenFields, textField } from '../fields.ts'
import { redirectWith } from '../flash.ts'
import { emptyForm, type Form, readForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { accountPath } from '../paths.ts'
import { hasMoved, movedNote, seenFields } from '../seen.ts'
import { lastActOn, sendAccount } from './load-account.ts'
import { ACCOUNT_ROUTE, AccountPageParams, keyOf } from './paths.ts'
import { nameOf } from './state.ts'

const MAX_LABEL = 120

/** An empty field removes the label. */
const LabelForm = Type.Object({
  label: Type.Optional(Type.String({ maxLength: MAX_LABEL, pattern: LABEL_PATTERN })),
})

/** Edits the label of an account. */
export const accountLabelPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { db } = broker.database

  app.get(`${ACCOUNT_ROUTE}/label`, {
    schema: { hide: true, operationId: 'editLabel', params: AccountPageParams },
    handler: async (request, reply) => {
      const account = await findAccount(db, keyOf(request.params))
      if (account === undefined) return sendAccount(broker, request, reply, keyOf(request.params))
      const form = emptyForm({ label: account.label ?? '' })
      return sendPage(request, reply, labelView(account, form))
    },
  })

  app.post(`${ACCOUNT_ROUTE}/label`, {
    schema: { hide: true, operationId: 'labelAccount', params: AccountPageParams },
    handler: async (request, reply) => {
      const key = keyOf(request.params)
      auditing(request, { account: key })
      const account = await findAccount(db, key)
      if (account === undefined) return sendAccount(broker, request, reply, key)
      const read = readForm(request, LabelForm)
      if (!read.isValid) {
        return sendPage(request, reply, { ...labelView(account, read.form), status: 422 })
      }
      if (hasMoved(request, account.label)) {
        const note = movedNote(await lastActOn(db, key))
        return sendPage(request, reply, { ...labelView(account, read.form, note), status: 409 })
      }
      const label = read.data.label ?? null
      await setLabel(db, key, label, beginAct(request))
      const note = label === null ? 'The label is removed.' : 'The label is saved.'
      return redirectWith(reply, accountPath(key), note)
    },
  })
}

function labelView(account: AccountState, form: Form, note?: Html) {
  const name = nameOf(account)
  const present =
    note &&
    html`<p>The label is now ${account.label === null ? 'empty' : html`<b>${account.label}</b>`}.</p>`
  const main = html`${note}${present}<form method="post" action="${accountPath(account, '/label')}">
${hiddenFields(seenFields(account.label))}
${textField(form, { name: 'label', label: 'Label', hint: 'Such as the name of the customer. The list finds it by each of its words.' })}
<div class="acts"><button class="primary">Save</button><a class="button" href="${accountPath(account)}">Cancel</a></div></form>`
  return { title: `Label of ${name}`, section: 'accounts', main, width: 'reading' } as const
}
