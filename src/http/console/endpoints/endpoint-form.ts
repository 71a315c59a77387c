import type { Static, TObject } from 'typebox'
import { EndpointBody } from '../../../contract/endpoints.ts'
import { EVENT_TYPES, type EventType } from '../../../contract/events.ts'
import type { EndpointSettings } from '../../../endpoints/service.ts'
import type { Endpoint } from '../../../endpoints/store.ts'
import { BrokerError } from '../../../lib/errors.ts'
import { type Html, html } from '../../../lib/html.ts'
import { Type } from '../../../lib/type.ts'
import {
  checkbox,
  checkList,
  formProblem,
  secretField,
  selectField,
  textArea,
  textField,
} from '../fields.ts'
import { emptyForm, type Form } from '../form.ts'

const { name, kind, url, bot_token, chat_id, api_origin, language } = EndpointBody.properties

const settings = {
  ...{ url, bot_token, chat_id, api_origin, language },
  types: Type.Optional(Type.Array(Type.String({ maxLength: 60 }), { maxItems: 100 })),
  integrations: Type.Optional(Type.String({ maxLength: 7_000 })),
  grouped: Type.Optional(Type.Boolean()),
}

export const NewEndpointForm = Type.Object({ name, kind, ...settings })
export const SettingsForm = Type.Object(settings)

/** Returns the settings of an endpoint as a form. Its URL is secret, so it is not part of it. */
export function formOf(endpoint: Endpoint): Form {
  return emptyForm({
    language: endpoint.language,
    types: [...(endpoint.types ?? [])],
    integrations: (endpoint.integrations ?? []).join('\n'),
    grouped: endpoint.grouped ? 'true' : '',
  })
}

/** Returns what a form orders. Throws `bad_request` for a type that does not exist. */
export function settingsFrom(data: Static<TObject<typeof settings>>): EndpointSettings {
  const target = {
    url: data.url,
    botToken: data.bot_token,
    chatId: data.chat_id,
    apiOrigin: data.api_origin,
  }
  const integrations = wordsOf(data.integrations)
  return {
    target,
    language: data.language,
    types: readTypes(data.types),
    integrations: integrations.length === 0 ? null : integrations,
    grouped: data.grouped ?? false,
  }
}

function readTypes(words: string[] | undefined): EventType[] | null {
  if (words === undefined) return null
  return words.map((word) => {
    const type = EVENT_TYPES.find((each) => each === word)
    if (type !== undefined) return type
    throw new BrokerError('bad_request', 'types: there is no such type.')
  })
}

function wordsOf(text = ''): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '')
}

export function newEndpointForm(form: Form): Html {
  return html`<form method="post" action="/console/endpoints">${formProblem(form)}
${textField(form, { name: 'name', label: 'Name', hint: 'Small letters, digits and hyphens.', isRequired: true })}
${selectField(form, {
  name: 'kind',
  label: 'Kind',
  options: [
    ['webhook', 'webhook: signed JSON for a program'],
    ['telegram', 'telegram: messages for people'],
    ['slack', 'slack: messages for people'],
  ],
  isRequired: true,
})}
${urlFields(form)}${telegramFields(form)}${choiceFields(form)}
<button class="primary">Create the endpoint</button></form>`
}

/** The form for the settings of an endpoint that exists. */
export function settingsForm(form: Form, action: string, of: Endpoint['kind']): Html {
  return html`<form method="post" action="${action}">${formProblem(form)}
${choiceFields(form)}
<details class="more"><summary>Send to another address</summary>${of === 'telegram' ? telegramFields(form) : urlFields(form)}</details>
<button class="primary">Save the settings</button></form>`
}

/** Of a webhook, and of Slack. */
function urlFields(form: Form): Html {
  return html`<div class="for-url">${secretField(form, {
    name: 'url',
    label: 'URL',
    hint: 'Of the webhook, or of the incoming webhook of Slack. Only its origin is shown afterwards.',
  })}</div>`
}

function telegramFields(form: Form): Html {
  return html`<div class="for-telegram">${secretField(form, { name: 'bot_token', label: 'Token of the bot' })}
${textField(form, { name: 'chat_id', label: 'Id of the chat, or @name of a channel' })}
${textField(form, { name: 'api_origin', label: 'Your own Bot API server', placeholder: 'https://' })}</div>`
}

function choiceFields(form: Form): Html {
  return html`${selectField(form, {
    name: 'language',
    label: 'Language of messages to people',
    options: [
      ['en', 'English'],
      ['ru', 'Russian'],
      ['uk', 'Ukrainian'],
      ['es', 'Spanish'],
    ],
    isRequired: true,
  })}
${checkList(form, {
  name: 'types',
  label: 'Only these types of events',
  hint: 'None ticked: all types.',
  options: EVENT_TYPES.filter((type) => type !== 'endpoint.test'),
})}
${textArea(form, { name: 'integrations', label: 'Only events of these integrations', hint: 'One in a line. Empty: all.', rows: 2 })}
${checkbox(form, { name: 'grouped', label: 'Many lost accounts are one message', hint: 'On by default for Telegram and Slack. A program that acts on each account needs it off.' })}`
}
