import type { ConnectLink, ConnectLinks } from '../connect-links/links.ts'
import { checkExchangeState, checkState } from '../connect-links/state.ts'
import type { Integrations } from '../integrations/directory.ts'
import type { Integration } from '../integrations/integration.ts'
import { allowedHost, needsAccountHost } from '../provider/profiles.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { Secret } from '../vault/secret.ts'
import type { Callback } from './callback.ts'
import type { Exchange, Exchanges } from './exchanges.ts'
import type { CallbackProblem } from './outcomes.ts'

/** The query of a callback (docs/provider.md, part 2). */
export interface CallbackQuery {
  code?: string | undefined
  state?: string | undefined
  referer?: string | undefined
  platform?: string | undefined
  client_id?: string | undefined
  error?: string | undefined
  from_widget?: string | undefined
  from_exchange?: string | undefined
}

/** Who brings a callback. */
export interface Visitor {
  /** `undefined`: the browser has no cookie of ours. */
  browserId: string | undefined
  /** The address, or its network with IPv6. */
  network: string
}

/**
 * `isUsed`: the link or exchange is used up, so only a code that is known is accepted. `linkId`:
 * the link that the state names, even when something else is wrong.
 */
export type ValidatedCallback =
  | { callback: Callback; isUsed: boolean }
  | { problem: CallbackProblem; linkId?: string | undefined }

export interface ValidationDependencies {
  integrations: Integrations
  links: ConnectLinks
  exchanges: Exchanges
  states: KeyedHash
}

/** The shape of a code: printable ASCII. The provider documents nothing more. */
const CODE_SHAPE = /^[\x21-\x7e]{20,8192}$/
/** The provider writes these when no state was sent (docs/provider.md, part 1). */
const PLACEHOLDERS = new Set(['state', 'false'])

/** Finds the onboarding that a callback belongs to, or why it is refused. Stores nothing. */
export async function validateCallback(
  dependencies: ValidationDependencies,
  path: string,
  query: CallbackQuery,
  visitor: Visitor,
): Promise<ValidatedCallback> {
  const { state, error, code } = query
  const { browserId } = visitor
  const hasState = state !== undefined && state !== '' && !PLACEHOLDERS.has(state)
  if (error !== undefined)
    return { problem: problemOf(error), ...linkOf(dependencies, query, browserId) }
  if (!code) return { problem: 'no_code', ...linkOf(dependencies, query, browserId) }
  if (!hasState) return validateUnproven(dependencies, path, query, code)
  const isCode = CODE_SHAPE.test(code)
  const exchangeId = checkExchangeState(dependencies.states, state)
  if (exchangeId !== undefined) {
    if (!isCode) return { problem: 'malformed_code' }
    return validateExchange(dependencies, path, query, code, exchangeId)
  }
  const checked = checkState(dependencies.states, state, browserId)
  if ('problem' in checked) return checked
  const { linkId } = checked
  if (!isCode) return { problem: 'malformed_code', linkId }
  const validated = await validateConsent(dependencies, path, query, code, linkId)
  if ('problem' in validated) return validated
  // The state of a button belongs to no browser, so its codes are counted by network.
  validated.callback.browser = browserId ?? visitor.network
  return validated
}

/**
 * Returns true when a state has a valid MAC of this broker for this browser and has not expired.
 * Needs no database.
 */
export function isStateProven(
  states: KeyedHash,
  state: string | undefined,
  browserId: string | undefined,
): boolean {
  if (state === undefined) return false
  if (checkExchangeState(states, state) !== undefined) return true
  return !('problem' in checkState(states, state, browserId))
}

async function validateConsent(
  { links, integrations }: ValidationDependencies,
  path: string,
  query: CallbackQuery,
  code: string,
  linkId: string,
): Promise<ValidatedCallback> {
  const link = await links.findById(linkId)
  if (link === undefined) return { problem: 'link_unknown' }
  const integration = await integrationOf(integrations, link, path)
  if (integration === undefined) return { problem: 'state_forged', linkId }
  const host = hostOf(integration, query)
  if ('problem' in host) return { ...host, linkId }
  return {
    callback: {
      origin: 'consent',
      integration: integration.name,
      code: new Secret(code),
      referer: host.referer,
      linkId,
    },
    isUsed: link.isUsed,
  }
}

/** @returns `undefined` when the link has no integration yet, or the path is another one's. */
async function integrationOf(
  integrations: Integrations,
  link: ConnectLink,
  path: string,
): Promise<Integration | undefined> {
  if (link.integration === null) return undefined
  const integration = await integrations.load(link.integration)
  return new URL(integration.redirectUri).pathname === path ? integration : undefined
}

async function validateExchange(
  { exchanges, integrations }: ValidationDependencies,
  path: string,
  query: CallbackQuery,
  code: string,
  exchangeId: string,
): Promise<ValidatedCallback> {
  const exchange: Exchange | undefined = await exchanges.find(exchangeId)
  if (exchange === undefined) return { problem: 'state_forged' }
  const integration = await integrations.load(exchange.integration)
  if (new URL(integration.redirectUri).pathname !== path) return { problem: 'state_forged' }
  const host = hostOf(integration, query)
  if ('problem' in host) return host
  if (host.referer !== exchange.domain) return { problem: 'other_account' }
  return {
    callback: {
      origin: 'exchange',
      integration: integration.name,
      code: new Secret(code),
      referer: host.referer,
      exchangeId,
    },
    isUsed: exchange.inboxId !== null,
  }
}

/**
 * Validates a callback without a state, as an installation inside the CRM sends it. Nothing proves
 * its origin, so it is accepted only if the integration allows installations, and only in the
 * provider's shape.
 */
function validateUnproven(
  { integrations }: ValidationDependencies,
  path: string,
  query: CallbackQuery,
  code: string,
): ValidatedCallback {
  const isInstall = query.from_widget === '1'
  const accepting = integrations.byRedirectPath(path).filter((each) => each.acceptsInstalls)
  if (accepting.length === 0) {
    if (isInstall) return { problem: 'installs_off' }
    return { problem: query.state ? 'state_placeholder' : 'no_state' }
  }
  const meant = accepting.filter(({ clientId }) => clientId === query.client_id)
  const [integration, ...others] = query.client_id ? meant : accepting
  if (integration === undefined || others.length > 0) return { problem: 'foreign_client' }
  const { platformNumber } = integration.profile
  if (query.platform && query.platform !== platformNumber) return { problem: 'foreign_platform' }
  if (!CODE_SHAPE.test(code)) return { problem: 'malformed_code' }
  const host = hostOf(integration, query)
  if ('problem' in host) return host
  if (host.referer === null) return { problem: 'foreign_referer' }
  const { referer } = host
  const name = integration.name
  return {
    callback: { origin: 'install', integration: name, code: new Secret(code), referer },
    isUsed: false,
  }
}

/** Reads the host to ask. `referer` can only choose among the provider's own hosts. */
function hostOf(
  { clientId, profile }: Integration,
  query: CallbackQuery,
): { referer: string | null } | { problem: CallbackProblem } {
  if (query.client_id && query.client_id !== clientId) return { problem: 'foreign_client' }
  const referer = allowedHost(profile, query.referer ?? '') ?? null
  const isNotNeeded = !query.referer && !needsAccountHost(profile)
  return referer === null && !isNotNeeded ? { problem: 'foreign_referer' } : { referer }
}

function problemOf(error: string): CallbackProblem {
  if (error === 'access_denied') return error
  return error === 'invalid_scope' ? error : 'provider_error'
}

/** Finds the link that a state names, so that its page can show the refusal. */
function linkOf(
  { states }: ValidationDependencies,
  { state }: CallbackQuery,
  browserId: string | undefined,
): { linkId?: string } {
  if (state === undefined) return {}
  const checked = checkState(states, state, browserId)
  return 'linkId' in checked ? { linkId: checked.linkId } : {}
}
