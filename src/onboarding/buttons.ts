import { randomBytes } from 'node:crypto'
import type { Database } from '../db/database.ts'
import type { ExternalSeed } from '../db/tables.ts'
import type { Integrations } from '../integrations/service.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { type ConnectLinks, type LinkOrder, storeExternalLink } from './links.ts'
import { mintButtonState } from './state.ts'

const TOKEN_BYTES = 24

/** What the provider's button script is loaded from, by platform (provider page, part 9). */
const SCRIPTS = {
  amocrm: { class: 'amocrm_oauth', src: 'https://www.amocrm.ru/auth/button.min.js' },
  kommo: { class: 'kommo_oauth', src: 'https://www.kommo.com/auth/button.min.js' },
} as const

export interface ButtonLook {
  /** Of the integration that is made, as the account sees it. */
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
  /** Null: the integration exists. */
  secretsUri: string | null
}

/** A button for an integration that exists. It connects one account, once, like a link. Throws `integration_not_found`. */
export async function makeButton(
  { integrations, links, states }: ButtonsDependencies,
  order: LinkOrder,
  look: ButtonLook,
): Promise<Button> {
  const { id, expiresAt } = await links.create(order)
  const integration = await integrations.load(order.integration)
  const state = mintButtonState(states, id, expiresAt)
  const attributes = {
    'data-client-id': integration.clientId,
    'data-title': look.title,
    'data-mode': order.mode,
    'data-state': state,
  }
  return render(platformOf(integration.provider), attributes, {
    state,
    expiresAt,
    secretsUri: null,
  })
}

/** A button that makes an integration in the account of whoever presses it: of these hosts, and for one account. */
export async function makeExternalButton(
  { database, linkHash, states }: ButtonsDependencies,
  order: Omit<LinkOrder, 'integration'>,
  seed: ExternalSeed,
  look: ButtonLook,
): Promise<Button> {
  const tokenHash = linkHash.of(randomBytes(TOKEN_BYTES).toString('base64url'))
  const { id, expiresAt } = await storeExternalLink(database.db, tokenHash, order, seed)
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
  return render(platformOf(seed.provider), attributes, { state, expiresAt, secretsUri })
}

function platformOf(provider: string): keyof typeof SCRIPTS {
  return provider === 'kommo' ? 'kommo' : 'amocrm'
}

function render(
  platform: keyof typeof SCRIPTS,
  data: Record<string, string>,
  rest: Omit<Button, 'attributes' | 'html'>,
): Button {
  const script = SCRIPTS[platform]
  const attributes = { class: script.class, charset: 'utf-8', ...data, src: script.src }
  const written = Object.entries(attributes).map(
    ([name, value]) => `${name}="${escapeAttribute(value)}"`,
  )
  return { attributes, html: `<script ${written.join('\n  ')}></script>`, ...rest }
}

function escapeAttribute(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
}
