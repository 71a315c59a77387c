import { randomBytes } from 'node:crypto'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { ExternalSeed } from '../db/tables/onboarding.ts'
import type { Integrations } from '../integrations/directory.ts'
import { escapeHtml } from '../lib/html.ts'
import type { Profile } from '../provider/profile-table.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { type ConnectLinks, type LinkOrder, storeExternalLink } from './links.ts'
import { seedMac } from './seed-mac.ts'
import { mintButtonState } from './state.ts'

const TOKEN_BYTES = 24

interface ButtonLook {
  /** The name of the new integration, as the account sees it. */
  name: string
  description: string
  title: string
  logo: string | undefined
  scopes: string[]
}

export interface ButtonsDependencies {
  database: Database
  integrations: Integrations
  links: ConnectLinks
  linkHash: KeyedHash
  states: KeyedHash
}

export interface Button {
  attributes: Record<string, string>
  html: string
  state: string
  expiresAt: Date
  /** Null: the button is for an existing integration. */
  secretsUri: string | null
}

/**
 * Makes a button for an existing integration. Like a link, it connects one account once.
 * Throws `integration_not_found`.
 */
export async function makeButton(
  { integrations, links, states }: ButtonsDependencies,
  order: LinkOrder,
  look: ButtonLook,
  act: Act,
): Promise<Button> {
  const { id, expiresAt } = await links.create(order, act)
  const integration = await integrations.load(order.integration)
  const state = mintButtonState(states, id, expiresAt)
  const attributes = {
    'data-client-id': integration.clientId,
    'data-title': look.title,
    'data-mode': order.mode,
    'data-state': state,
  }
  return render(integration.profile, attributes, { state, expiresAt, secretsUri: null })
}

/** Makes a button that creates an integration in the account of the person who presses it. */
export async function makeExternalButton(
  { database, integrations, linkHash, states }: ButtonsDependencies,
  order: Omit<LinkOrder, 'integration'>,
  seed: ExternalSeed,
  look: ButtonLook,
  act: Act,
): Promise<Button> {
  const tokenHash = linkHash.of(randomBytes(TOKEN_BYTES).toString('base64url'))
  const external = { ...seed, mac: seedMac(states, tokenHash, seed) }
  const { id, expiresAt } = await database.db.transaction().execute(async (trx) => {
    const link = await storeExternalLink(trx, tokenHash, order, external)
    await act.record(trx)
    return link
  })
  const state = mintButtonState(states, id, expiresAt)
  const secretsUri = new URL('/hooks/secrets', seed.redirectUri).href
  const attributes = {
    'data-name': look.name,
    'data-description': look.description,
    'data-redirect_uri': seed.redirectUri,
    'data-secrets_uri': secretsUri,
    'data-scopes': look.scopes.join(','),
    ...(look.logo === undefined ? {} : { 'data-logo': look.logo }),
    'data-title': look.title,
    'data-mode': order.mode,
    'data-state': state,
  }
  const profile = integrations.profileOf(seed.provider)
  return render(profile, attributes, { state, expiresAt, secretsUri })
}

function render(
  { button }: Pick<Profile, 'button'>,
  data: Record<string, string>,
  rest: Omit<Button, 'attributes' | 'html'>,
): Button {
  const { className, scriptUrl } = button
  const attributes = { class: className, charset: 'utf-8', ...data, src: scriptUrl }
  const written = Object.entries(attributes).map(
    ([name, value]) => `${name}="${escapeHtml(value)}"`,
  )
  return { attributes, html: `<script ${written.join('\n  ')}></script>`, ...rest }
}
