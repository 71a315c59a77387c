import type { ClientRow } from '../../../clients/store.ts'
import type { Grant, StoredKey } from '../../../db/tables/access.ts'
import { type Html, html } from '../../../lib/html.ts'
import { actionForm, formProblem, hiddenFields, textField } from '../fields.ts'
import type { Form } from '../form.ts'
import { badge, card, copyField, emptyState, stackTable } from '../parts.ts'
import { seenFields } from '../seen.ts'
import { clockTag, timeTag } from '../times.ts'
import { CLIENTS_PATH, expiryField, grantsField } from './clients-view.ts'

const SOON_MS = 14 * 24 * 3600 * 1000

interface Shown {
  client: ClientRow
  lastRead: Date | undefined
  lastReadOf(grant: Grant): Date | undefined
  grants: Form
  key: Form
}

/** Writes grants as they are typed, one in a line. */
export function grantsText({ grants }: ClientRow): string {
  return grants.map(grantText).join('\n')
}

function grantText({ integration, accountId }: Grant): string {
  return `${integration}/${accountId ?? '*'}`
}

/** What the form for grants was filled in on. */
export function grantsSeen({ grants }: ClientRow): unknown {
  return grants
}

/** Shows one client: grants and whether it uses them, and keys without showing them. */
export function clientView(shown: Shown): { title: string; main: Html } {
  const { client, lastRead } = shown
  const { name, role } = client
  return {
    title: `${name} ${stateOf(client)}`,
    main: html`<p>${WHAT[role]} ${
      lastRead === undefined
        ? 'It has read no token yet, as far back as the audit goes.'
        : html`It last read a token ${timeTag(lastRead)}.`
    }</p>
${role === 'reader' && grantsCard(shown)}
${keysCard(shown)}
<div class="acts"><a class="button" href="${CLIENTS_PATH}">Clients</a>
<a class="button danger" href="${CLIENTS_PATH}/${name}/revoke">Revoke…</a></div>`,
  }
}

const WHAT: Record<ClientRow['role'], string> = {
  reader: 'It reads the tokens of its grants.',
  monitor: 'It sees health and the states of accounts, and no token.',
  operator: 'It may do everything, and read every token.',
}

function stateOf(client: ClientRow): string {
  if (liveKeys(client).length === 0) return 'has no key that is valid'
  if (client.role === 'reader' && client.grants.length === 0) return 'has no grant yet'
  return `is a client with the role ${client.role}`
}

function grantsCard({ client, lastReadOf, grants }: Shown): Html {
  const rows = client.grants.map((grant) => {
    const { integration, accountId } = grant
    const last = lastReadOf(grant)
    return [
      accountId === null
        ? html`all accounts of ${integration}`
        : html`<a href="/console/accounts/${integration}/${accountId}">${accountId}</a> <small>${integration}</small>`,
      last === undefined ? badge('warn', 'never read') : html`Last read ${timeTag(last)}.`,
    ]
  })
  return card(
    'Grants',
    html`${
      rows.length === 0
        ? emptyState('It has none, so it can read no token.')
        : stackTable('Grants', ['Account', 'Use'], rows)
    }
<form method="post" action="${CLIENTS_PATH}/${client.name}/grants">${formProblem(grants)}${hiddenFields(seenFields(grantsSeen(client)))}
${grantsField(grants)}<button>Replace the grants</button></form>`,
  )
}

function keysCard({ client, key }: Shown): Html {
  const rows = client.keys.map((each) => [
    html`<code>${each.id}</code>`,
    keyState(each),
    html`Made ${timeTag(new Date(each.createdAt))}`,
    actionForm({
      action: `${CLIENTS_PATH}/${client.name}/keys/${each.id}/end`,
      label: 'End it now',
      tone: 'danger',
      describe: each.id,
    }),
  ])
  return card(
    'Keys',
    html`${
      rows.length === 0
        ? emptyState('It has no key. Add one, or revoke the client.')
        : stackTable('Keys', ['Key', 'State', '', ''], rows)
    }
<form method="post" action="${CLIENTS_PATH}/${client.name}/keys">${formProblem(key)}
${expiryField(key)}
${textField(key, {
  name: 'overlap_hours',
  label: 'The present key stays valid for this number of hours',
  hint: 'So that the service can change to the new one. 0: it ends at once.',
})}<button class="primary">Add a key</button></form>`,
  )
}

function keyState({ expiresAt }: StoredKey): Html {
  if (expiresAt === null) return html`${badge('good', 'valid')} until it is ended`
  const time = new Date(expiresAt)
  const leftMs = time.getTime() - Date.now()
  if (leftMs <= 0) return html`${badge('neutral', 'ended')} ${timeTag(time)}`
  if (leftMs < SOON_MS) return html`${badge('warn', 'ends soon')} ${timeTag(time)}`
  return html`${badge('good', 'valid')} until ${clockTag(time)}`
}

/** Says how many keys are valid, and when the last one ends. */
export function keysSentence(client: ClientRow): Html {
  const keys = liveKeys(client)
  if (keys.length === 0) return badge('bad', 'no valid key')
  const number = keys.length === 1 ? '1 key' : `${keys.length} keys`
  const ends = keys.map(({ expiresAt }) => (expiresAt === null ? null : new Date(expiresAt)))
  if (ends.includes(null)) return html`${number}`
  const last = new Date(Math.max(...ends.map((each) => each?.getTime() ?? 0)))
  const isSoon = last.getTime() - Date.now() < SOON_MS
  return html`${number}, ends ${timeTag(last)} ${isSoon && badge('warn', 'soon')}`
}

function liveKeys({ keys }: ClientRow): StoredKey[] {
  return keys.filter(({ expiresAt }) => expiresAt === null || Date.parse(expiresAt) > Date.now())
}

/** Shows a new key, once. */
export function newKeyView(client: ClientRow, keyId: string, key: string) {
  const { name, role, grants } = client
  return {
    title: `The key of ${name}`,
    main: html`${card(
      'Copy it now',
      html`${copyField('key', `Key ${keyId}`, key)}
<p>It is shown only now. The broker stores a hash of it. Give it to the service as <code>Authorization: Bearer …</code></p>`,
    )}
${role === 'reader' && grants.length === 0 && html`<p class="band warn">${name} has no grant yet, so it can read no token.</p>`}
<div class="acts"><a class="button" href="${CLIENTS_PATH}/${name}">Go to ${name}</a></div>`,
  }
}

/** Asks before a client is revoked. */
export function revocationView(client: ClientRow, lastRead: Date | undefined) {
  const { name } = client
  return {
    title: `Revoke ${name}?`,
    main: html`<p>All its keys end at once, on every replica, and for good. Its name cannot be used again.</p>
<p>${lastRead === undefined ? 'It has read no token, as far back as the audit goes.' : html`It last read a token ${timeTag(lastRead)}.`}</p>
<div class="acts">${actionForm({
      action: `${CLIENTS_PATH}/${name}/revoke`,
      label: `Revoke ${name}`,
      tone: 'danger',
    })}<a class="button" href="${CLIENTS_PATH}/${name}">Keep it</a></div>`,
  }
}
