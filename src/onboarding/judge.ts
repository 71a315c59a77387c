import type { Integration, Integrations } from '../integrations/service.ts'
import { allowedHost, needsAccountHost } from '../provider/profiles.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { Secret } from '../vault/secret.ts'
import type { Exchange, Exchanges } from './exchanges.ts'
import type { Callback } from './inbox.ts'
import type { ConnectLink, ConnectLinks } from './links.ts'
import { checkExchangeState, checkState } from './state.ts'

/** What a callback's query says (provider page, part 2). */
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

/** `linkId`: of the link that the state names, also when something else is wrong. */
export type Judged =
  | { callback: Callback; isUsed: boolean }
  | { problem: string; linkId?: string | undefined }

export interface JudgeDependencies {
  integrations: Integrations
  links: ConnectLinks
  exchanges: Exchanges
  states: KeyedHash
}

/** As the provider numbers its platforms. */
const PLATFORMS: Record<string, string> = { '1': 'amocrm', '2': 'kommo' }
/** What a code looks like at the least: anybody can call here. */
const CODE_SHAPE = /^[A-Za-z0-9._~+/=-]{60,8192}$/
/** The provider writes these where no state was sent (provider page, part 1). */
const PLACEHOLDERS = new Set(['state', 'false'])

/** Says which onboarding a callback belongs to, or what is wrong with it. Stores nothing. */
export async function judgeCallback(
  dependencies: JudgeDependencies,
  path: string,
  query: CallbackQuery,
  browserId: string | undefined,
): Promise<Judged> {
  const { state, error, code } = query
  const hasState = state !== undefined && state !== '' && !PLACEHOLDERS.has(state)
  if (error !== undefined)
    return { problem: refusalOf(error), ...linkOf(dependencies, query, browserId) }
  if (!code) return { problem: 'no_code', ...linkOf(dependencies, query, browserId) }
  if (!hasState) return judgeUnproven(dependencies, path, query, code)
  const exchangeId = checkExchangeState(dependencies.states, state)
  if (exchangeId !== undefined) {
    return judgeExchange(dependencies, path, query, code, exchangeId)
  }
  const checked = checkState(dependencies.states, state, browserId)
  if ('problem' in checked) return checked
  return judgeLink(dependencies, path, query, code, checked.linkId)
}

async function judgeLink(
  { links, integrations }: JudgeDependencies,
  path: string,
  query: CallbackQuery,
  code: string,
  linkId: string,
): Promise<Judged> {
  const link = await links.findById(linkId)
  if (link === undefined) return { problem: 'link_unknown' }
  const integration = await ofLink(integrations, link, path)
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

async function ofLink(
  integrations: Integrations,
  link: ConnectLink,
  path: string,
): Promise<Integration | undefined> {
  if (link.integration === null) return undefined
  const integration = await integrations.load(link.integration)
  return new URL(integration.redirectUri).pathname === path ? integration : undefined
}

async function judgeExchange(
  { exchanges, integrations }: JudgeDependencies,
  path: string,
  query: CallbackQuery,
  code: string,
  exchangeId: string,
): Promise<Judged> {
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
 * A callback without a state, as an installation inside the CRM makes one: nothing proves where it comes from, so it is taken
 * only where the integration accepts that, and only in the shape that the provider gives it.
 */
function judgeUnproven(
  { integrations }: JudgeDependencies,
  path: string,
  query: CallbackQuery,
  code: string,
): Judged {
  const isInstall = query.from_widget === '1'
  const accepting = integrations.byRedirectPath(path).filter((each) => each.acceptsInstalls)
  if (accepting.length === 0) {
    if (isInstall) return { problem: 'installs_off' }
    return { problem: query.state ? 'state_placeholder' : 'no_state' }
  }
  const meant = accepting.filter(({ clientId }) => clientId === query.client_id)
  const [integration, ...others] = query.client_id ? meant : accepting
  if (integration === undefined || others.length > 0) return { problem: 'foreign_client' }
  const platform = PLATFORMS[query.platform ?? '']
  if (query.platform && platform !== integration.provider) return { problem: 'foreign_platform' }
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

/** `referer` only chooses where to ask, from the platform's own hosts. */
function hostOf(
  { clientId, profile }: Integration,
  query: CallbackQuery,
): { referer: string | null } | { problem: string } {
  if (query.client_id && query.client_id !== clientId) return { problem: 'foreign_client' }
  const referer = allowedHost(profile, query.referer ?? '') ?? null
  const isNotNeeded = !query.referer && !needsAccountHost(profile)
  return referer === null && !isNotNeeded ? { problem: 'foreign_referer' } : { referer }
}

function refusalOf(error: string): string {
  if (error === 'access_denied') return error
  return error === 'invalid_scope' ? error : 'provider_error'
}

/** The link that a state names, for the page that is to be told of a refusal. */
function linkOf(
  { states }: JudgeDependencies,
  { state }: CallbackQuery,
  browserId: string | undefined,
): { linkId?: string } {
  if (state === undefined) return {}
  const checked = checkState(states, state, browserId)
  return 'linkId' in checked ? { linkId: checked.linkId } : {}
}
