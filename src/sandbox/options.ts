import type { FastifyBaseLogger } from 'fastify'
import type { Platform } from './hosts.ts'
import { isLoopback } from './hosts.ts'
import type { Limits } from './limits.ts'

export interface IntegrationSeed {
  platform: Platform
  clientId: string
  clientSecret: string
  redirectUri: string
  name?: string
  scopes?: string[]
  /** Where the disconnect hook goes when the request names no other place. */
  disconnectUrl?: string
  /** A disabled integration's tokens are refused as revoked (provider.md 3). */
  disabled?: boolean
}

export interface AccountSeed {
  platform: Platform
  subdomain: string
  /** Default: eight digits made from platform and subdomain, the same on every run. */
  accountId?: number
  name?: string
  /** Older Kommo accounts live at `{sub}.amocrm.com`. */
  zone?: 'amocrm.ru' | 'kommo.com' | 'amocrm.com'
  apiDomain?: string
  /** How many leads `/api/v4/leads` has; 0 answers 204. */
  leads?: number
  users?: UserSeed[]
}

export interface UserSeed {
  login: string
  /** For exchange_api_key (provider.md 6). */
  apiKey: string
  administrator: boolean
}

export interface SandboxOptions {
  integrations?: IntegrationSeed[]
  accounts?: AccountSeed[]
  /** Default 86,400: 24 hours. */
  accessTtlSeconds?: number
  /** Default 7,776,000: 90 days. */
  refreshTtlSeconds?: number
  /** Default 1,200: 20 minutes. */
  codeTtlSeconds?: number
  /** The old access token works on after a refresh; default false: it dies (provider.md 3). */
  oldAccessTokenSurvives?: boolean
  /** A new consent revokes the older grants of the same integration and account; default false. */
  reauthorizationRevokes?: boolean
  /** Calls per second; `false` switches limiting off. */
  limits?: Partial<Limits> | false
  /** Every call that the sandbox's server makes connects here instead; must be loopback. */
  callbackOrigin?: string
  /** How long an install callback may take: 3,000 (provider.md 2). */
  installBudgetMs?: number
  /** Entries that the books hold before the oldest are dropped; default 200,000. */
  booksSize?: number
  /** Milliseconds since 1970; lifetimes, limits and books go by it. */
  clock?: () => number
  logger?: FastifyBaseLogger
}

export interface Settings {
  accessTtlSeconds: number
  refreshTtlSeconds: number
  codeTtlSeconds: number
  oldAccessTokenSurvives: boolean
  reauthorizationRevokes: boolean
  callbackOrigin: string | undefined
  installBudgetMs: number
  booksSize: number
  clock: () => number
}

/** Fills in the defaults of provider.md; throws when `callbackOrigin` leaves this machine. */
export function resolveSettings(options: SandboxOptions): Settings {
  const { callbackOrigin } = options
  if (callbackOrigin !== undefined && !isLoopback(callbackOrigin)) {
    throw new Error('callbackOrigin must be a loopback origin: the sandbox calls no real host')
  }
  return {
    accessTtlSeconds: options.accessTtlSeconds ?? 86_400,
    refreshTtlSeconds: options.refreshTtlSeconds ?? 90 * 86_400,
    codeTtlSeconds: options.codeTtlSeconds ?? 20 * 60,
    oldAccessTokenSurvives: options.oldAccessTokenSurvives ?? false,
    reauthorizationRevokes: options.reauthorizationRevokes ?? false,
    callbackOrigin,
    installBudgetMs: options.installBudgetMs ?? 3_000,
    booksSize: options.booksSize ?? 200_000,
    clock: options.clock ?? Date.now,
  }
}
