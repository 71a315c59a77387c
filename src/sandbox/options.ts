import type { FastifyBaseLogger } from 'fastify'
import type { Platform, Zone } from './hosts.ts'
import { isLoopback } from './hosts.ts'
import type { Limits } from './limits.ts'

export interface IntegrationSeed {
  platform: Platform
  clientId: string
  clientSecret: string
  redirectUri: string
  name?: string
  scopes?: string[]
  /** Target of the disconnect hook when the request names no other one. */
  disconnectUrl?: string
  /** The tokens of a disabled integration are refused as revoked (docs/provider.md, part 3). */
  disabled?: boolean
}

export interface AccountSeed {
  platform: Platform
  subdomain: string
  /** Default: eight digits made from platform and subdomain, the same on every run. */
  accountId?: number
  name?: string
  /** Older Kommo accounts live at `{sub}.amocrm.com`. */
  zone?: Zone
  apiDomain?: string
  /** Number of leads in `/api/v4/leads`. With 0 the response is 204. */
  leads?: number
  users?: UserSeed[]
}

export interface UserSeed {
  login: string
  /** For exchange_api_key (docs/provider.md, part 6). */
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
  /**
   * The old access token stays valid after a refresh. Default false: it dies (docs/provider.md,
   * part 3).
   */
  oldAccessTokenSurvives?: boolean
  /** A new consent revokes the older grants of the same integration and account. Default false. */
  reauthorizationRevokes?: boolean
  /** Calls per second. `false` switches limits off. */
  limits?: Partial<Limits> | false
  /** Origin that all calls of the sandbox's own server connect to instead. Must be loopback. */
  callbackOrigin?: string
  /** Time limit of an install callback. Default 3,000 (docs/provider.md, part 2). */
  installBudgetMs?: number
  /** Number of entries in the books before the oldest are dropped. Default 200,000. */
  booksSize?: number
  /**
   * Seed for faults with a probability: the same seed fires them at the same requests. Default 1.
   */
  seed?: number
  /** Serves https with its own certificate (see certificate.ts). */
  https?: { key: string; cert: string }
  /** Milliseconds since 1970. Used for lifetimes, limits and books. */
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
  seed: number
  clock: () => number
}

/**
 * Fills in the defaults of docs/provider.md. Throws when `callbackOrigin` is not on this machine.
 */
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
    seed: options.seed ?? 1,
    clock: options.clock ?? Date.now,
  }
}
