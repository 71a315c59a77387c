import { createHash } from 'node:crypto'
import { PROFILES, PROVIDER_NAMES } from '../provider/profile-table.ts'
import { type Host, type Platform, ZONES } from './hosts.ts'
import type { AccountSeed, IntegrationSeed, UserSeed } from './options.ts'

export interface Integration {
  platform: Platform
  clientId: string
  clientSecret: string
  redirectUri: string
  name: string
  scopes: string[]
  disconnectUrl: string | undefined
  disabled: boolean
  /** Keys of the accounts in which it is installed. */
  installedIn: Set<string>
  /**
   * An external integration belongs to the account in which it was created (docs/provider.md, part
   * 9).
   */
  onlyAccount: string | undefined
}

export interface Account {
  /** Platform and id, because ids are unique on one platform only. */
  key: string
  platform: Platform
  accountId: number
  userId: number
  subdomain: string
  zone: string
  apiDomain: string
  name: string
  leads: number
  users: UserSeed[]
}

/** The response at a subdomain that an account has left (docs/provider.md, part 5). */
export type OldHost = '404' | '401' | 'invalid_account'

const DEFAULT_USERS: UserSeed[] = [
  { login: 'admin@example.com', apiKey: 'sandbox-api-key', administrator: true },
  { login: 'user@example.com', apiKey: 'sandbox-api-key', administrator: false },
]

/** Stores the integrations and accounts, and the host at which each account responds now. */
export function createDirectory() {
  const integrations = new Map<string, Integration>()
  const accounts = new Map<string, Account>()
  const bySubdomain = new Map<string, Account>()
  const oldHosts = new Map<string, OldHost>()

  /** Adds an integration, or changes the one with this client id. Its installations stay. */
  function addIntegration(seed: IntegrationSeed, onlyAccount?: string): Integration {
    const known = integrations.get(seed.clientId)
    const integration: Integration = {
      platform: seed.platform,
      clientId: seed.clientId,
      clientSecret: seed.clientSecret,
      redirectUri: seed.redirectUri,
      name: seed.name ?? known?.name ?? 'Integration',
      scopes: seed.scopes ??
        known?.scopes ?? ['push_notifications', 'files', 'crm', 'notifications'],
      disconnectUrl: seed.disconnectUrl ?? known?.disconnectUrl,
      disabled: seed.disabled ?? false,
      installedIn: known?.installedIn ?? new Set(),
      onlyAccount: onlyAccount ?? known?.onlyAccount,
    }
    integrations.set(seed.clientId, integration)
    return integration
  }

  /** Adds an account. Throws when its subdomain or id is taken. */
  function addAccount(seed: AccountSeed): Account {
    const { platform } = seed
    const subdomain = seed.subdomain.toLowerCase()
    if (bySubdomain.has(`${platform}:${subdomain}`)) throw new Error(`${subdomain} is taken`)
    const accountId = seed.accountId ?? freeId(platform, subdomain)
    const key = `${platform}:${accountId}`
    if (accounts.has(key)) throw new Error(`account ${accountId} exists`)
    const account: Account = {
      key,
      platform,
      accountId,
      userId: accountId + 1,
      subdomain,
      zone: seed.zone ?? PROFILES[platform].zones[0],
      apiDomain: seed.apiDomain ?? PROFILES[platform].sandbox.apiHost,
      name: seed.name ?? `Account ${subdomain}`,
      leads: seed.leads ?? 0,
      users: seed.users ?? DEFAULT_USERS,
    }
    accounts.set(key, account)
    bySubdomain.set(`${platform}:${subdomain}`, account)
    oldHosts.delete(`${platform}:${subdomain}`)
    return account
  }

  function removeAccount(account: Account): void {
    accounts.delete(account.key)
    bySubdomain.delete(`${account.platform}:${account.subdomain}`)
  }

  /**
   * Moves an account. Its old subdomain responds as `oldHost` specifies until another account takes
   * it.
   */
  function rename(account: Account, subdomain: string, oldHost: OldHost = '404'): void {
    const next = subdomain.toLowerCase()
    if (bySubdomain.has(`${account.platform}:${next}`)) throw new Error(`${next} is taken`)
    bySubdomain.delete(`${account.platform}:${account.subdomain}`)
    oldHosts.set(`${account.platform}:${account.subdomain}`, oldHost)
    oldHosts.delete(`${account.platform}:${next}`)
    account.subdomain = next
    bySubdomain.set(`${account.platform}:${next}`, account)
  }

  function findByHost(host: Host): Account | undefined {
    if (host.kind !== 'account') return undefined
    return bySubdomain.get(`${host.platform}:${host.subdomain}`)
  }

  function findOldHost(host: Host): OldHost | undefined {
    return host.kind === 'account' ? oldHosts.get(`${host.platform}:${host.subdomain}`) : undefined
  }

  /** Finds an account by id, subdomain or domain. `platform` resolves an ambiguous name. */
  function findAccount(ref: string | number, platform?: Platform): Account | undefined {
    const [label = '', ...zone] = String(ref).toLowerCase().split('.')
    const wanted = platform ?? ZONES.get(zone.join('.'))
    const platforms = wanted === undefined ? PROVIDER_NAMES : [wanted]
    for (const each of platforms) {
      const found = accounts.get(`${each}:${label}`) ?? bySubdomain.get(`${each}:${label}`)
      if (found !== undefined) return found
    }
    return undefined
  }

  function freeId(platform: Platform, subdomain: string): number {
    let id = defaultAccountId(platform, subdomain)
    while (accounts.has(`${platform}:${id}`)) id += 1
    return id
  }

  return {
    integrations,
    accounts,
    addIntegration,
    addAccount,
    removeAccount,
    rename,
    findByHost,
    findOldHost,
    findAccount,
  }
}

/** Returns the account's host: the value of `referer`, which the probe confirms. */
export function domainOf(account: Account): string {
  return `${account.subdomain}.${account.zone}`
}

/** Returns eight digits that are the same on every run. */
function defaultAccountId(platform: Platform, subdomain: string): number {
  const hash = createHash('sha256').update(`${platform}:${subdomain}`).digest()
  return 10_000_000 + (hash.readUInt32BE(0) % 89_000_000)
}
