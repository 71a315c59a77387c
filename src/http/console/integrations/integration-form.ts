import type { Static } from 'typebox'
import {
  IntegrationField,
  OriginField,
  PRINTABLE,
  ProviderField,
  RedirectUriField,
} from '../../../contract/fields.ts'
import { KOMMO_GUIDE } from '../../../contract/kommo-guide.ts'
import type { IntegrationOrder, ProfileOverrides } from '../../../integrations/edit.ts'
import type { Integration } from '../../../integrations/integration.ts'
import { type Html, html } from '../../../lib/html.ts'
import { Type } from '../../../lib/type.ts'
import { PROFILES, PROVIDER_NAMES, type ProviderName } from '../../../provider/profile-table.ts'
import { Secret } from '../../../vault/secret.ts'
import { overridesFrom } from '../../integrations/from-json.ts'
import {
  checkbox,
  formProblem,
  hiddenFields,
  secretField,
  selectField,
  textArea,
  textField,
} from '../fields.ts'
import { emptyForm, type Form } from '../form.ts'

const settings = {
  client_id: Type.String({ maxLength: 100, pattern: PRINTABLE }),
  client_secret: Type.Optional(Type.String({ maxLength: 1_000 })),
  redirect_uri: RedirectUriField,
  accepts_installs: Type.Optional(Type.Boolean()),
  authorize_url: Type.Optional(Type.String({ maxLength: 500 })),
  token_url: Type.Optional(Type.String({ maxLength: 500 })),
  authorize_parameters: Type.Optional(
    Type.String({
      maxLength: 5_000,
      pattern: '^[a-z_]{1,40}=[^\\r\\n]+(?:\\r?\\n[a-z_]{1,40}=[^\\r\\n]+)*$',
    }),
  ),
  kommo_guide: Type.Optional(Type.Boolean()),
  scopes: Type.Optional(
    Type.String({ maxLength: 2_000, pattern: '^[A-Za-z0-9:_.-]+( +[A-Za-z0-9:_.-]+)*$' }),
  ),
  encoding: Type.Optional(Type.Enum(['json', 'form'])),
  probe: Type.Optional(Type.Enum(['none', 'weak', 'strong'])),
}

/** The fields that can be changed. */
export const SettingsForm = Type.Object(settings)

/** The fields of a new integration. */
export const NewIntegrationForm = Type.Object({
  name: IntegrationField,
  provider: ProviderField,
  sandbox_origin: Type.Optional(OriginField),
  ...settings,
  client_secret: Type.String({ maxLength: 1_000 }),
})

/** Returns the present settings as a form. Secrets are not part of it. */
export function formOf({ clientId, redirectUri, acceptsInstalls, profile }: Integration): Form {
  return emptyForm({
    client_id: clientId,
    redirect_uri: redirectUri,
    accepts_installs: acceptsInstalls ? 'true' : '',
    authorize_url: profile.authorizeUrl,
    token_url: profile.tokenUrl,
    authorize_parameters: Object.entries(profile.authorizeParameters)
      .map(([name, value]) => `${name}=${value}`)
      .join('\n'),
    scopes: profile.scopes.join(' '),
    encoding: profile.encoding,
    probe: profile.probe,
  })
}

/** Returns what a form orders. */
export function orderOf(
  data: Static<typeof SettingsForm>,
  fixed: Pick<IntegrationOrder, 'provider' | 'sandboxOrigin'>,
): IntegrationOrder {
  return {
    ...fixed,
    clientId: data.client_id,
    clientSecret: data.client_secret === undefined ? undefined : new Secret(data.client_secret),
    redirectUri: data.redirect_uri,
    acceptsInstalls: data.accepts_installs ?? false,
    profile: data.kommo_guide ? overridesFrom(KOMMO_GUIDE) : overridesOf(fixed.provider, data),
  }
}

/** An empty field, or one with the platform's own value, is no override. */
function overridesOf(provider: ProviderName, data: Static<typeof SettingsForm>): ProfileOverrides {
  const platform = PROFILES[provider]
  const { authorize_url, token_url, scopes, encoding, probe, authorize_parameters } = data
  const given = {
    authorizeUrl: authorize_url,
    tokenUrl: token_url,
    scopes: scopes?.split(/ +/),
    encoding,
    probe,
    authorizeParameters: parametersOf(authorize_parameters),
  }
  const own = Object.entries(given).filter(
    ([name, value]) =>
      value !== undefined && JSON.stringify(value) !== JSON.stringify(Reflect.get(platform, name)),
  )
  return Object.fromEntries(own)
}

/** Reads parameters, one in a line: `name=value`. */
function parametersOf(text: string | undefined): Record<string, string> | undefined {
  if (text === undefined) return undefined
  const lines = text.split(/\r?\n/)
  return Object.fromEntries(
    lines.map((line) => {
      const [name = ''] = line.split('=', 1)
      return [name, line.slice(name.length + 1)]
    }),
  )
}

export function newIntegrationForm(form: Form): Html {
  return html`<form method="post" action="/console/integrations">${formProblem(form)}
${textField(form, {
  name: 'name',
  label: 'Name',
  hint: 'Small letters, digits and hyphens. Services read tokens with it.',
  isRequired: true,
})}
${selectField(form, {
  name: 'provider',
  label: 'Platform',
  options: PROVIDER_NAMES.map((name) => [name, PROFILES[name].title]),
  isRequired: true,
})}
${clientFields(form, 'The integration’s secret key at the provider.', true)}
${textField(form, {
  name: 'sandbox_origin',
  label: 'Sandbox',
  hint: 'All calls go there and never to the provider. It cannot be changed later.',
  placeholder: 'http://127.0.0.1:3002',
})}
${profileFields(form)}
<button class="primary">Create the integration</button></form>`
}

/** The form for the settings of an integration that exists. */
export function settingsForm(form: Form, action: string, seen: Record<string, string>): Html {
  const hint =
    'Only to replace it, or to change an address: then type the secret that the provider accepted last.'
  return html`<form method="post" action="${action}">${formProblem(form)}${hiddenFields(seen)}
${clientFields(form, hint, false)}${profileFields(form)}
<button class="primary">Save the settings</button></form>`
}

function clientFields(form: Form, secretHint: string, isNew: boolean): Html {
  return html`${textField(form, { name: 'client_id', label: 'Client ID', isRequired: true })}
${secretField(form, {
  name: 'client_secret',
  label: 'Client secret',
  hint: secretHint,
  ...(isNew ? { isRequired: true } : {}),
})}
${textField(form, {
  name: 'redirect_uri',
  label: 'Redirect URI',
  hint: 'On the public listener of this broker. The same as at the provider, byte for byte.',
  type: 'url',
  placeholder: 'https://broker.example.com/integrations/kommo/oauth/callback',
  isRequired: true,
})}
${checkbox(form, {
  name: 'accepts_installs',
  label: 'Accept installs from inside the CRM',
  hint: 'Unexpected accounts then wait for approval.',
})}`
}

function profileFields(form: Form): Html {
  return html`<details class="more"><summary>Addresses, scopes and encoding of the platform</summary>
<p class="muted">Empty fields are as the platform has them.</p>
${textField(form, { name: 'authorize_url', label: 'Authorize URL' })}
${textField(form, { name: 'token_url', label: 'Token URL', hint: '{domain} stands for the host of the account.' })}
${textField(form, { name: 'scopes', label: 'Scopes', hint: 'Separated by blanks.' })}
${textArea(form, {
  name: 'authorize_parameters',
  label: 'Further parameters of the authorize URL',
  hint: 'One in a line: name=value. {redirect_uri} stands for the redirect URI.',
  rows: 3,
})}
${selectField(form, {
  name: 'encoding',
  label: 'Encoding of requests',
  options: [
    ['', 'as the platform'],
    ['json', 'json'],
    ['form', 'form'],
  ],
})}
${selectField(form, {
  name: 'probe',
  label: 'How far a probe is believed',
  options: [
    ['', 'as the platform'],
    ['none', 'none'],
    ['weak', 'weak'],
    ['strong', 'strong'],
  ],
})}
${checkbox(form, {
  name: 'kommo_guide',
  label: 'All of these as in the Kommo guide',
  hint: 'kommo.com/oauth, its scopes, and tokens by form.',
})}</details>`
}
