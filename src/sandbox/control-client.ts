import type { Static, TSchema } from 'typebox'
import type { ProviderName } from '../provider/profile-table.ts'
import type {
  AccountBody,
  AccountOnly,
  DisconnectBody,
  ExpireBody,
  ExternalBody,
  Grantee,
  IntegrationBody,
  LimitsBody,
  MintBody,
  RenameBody,
} from './control-schemas.ts'
import type { FaultSpec } from './faults.ts'

type Of<Schema extends TSchema> = Static<Schema>

export type ScenarioName = 'expired' | 'revoked' | 'moved' | 'blocked' | 'slow'

export interface SandboxAccount {
  platform: ProviderName
  account_id: number
  subdomain: string
  domain: string
  api_domain: string
  leads: number
}

export interface ActiveFault extends FaultSpec {
  /** Remaining times. Null: it fires until it is switched off. */
  remaining: number | null
  fired: number
}

export interface SandboxStats {
  refreshes: number
  code_exchanges: number
  reused_refresh_tokens: number
  reused_codes: number
  presented_again: number
  token_calls: number
  probes: number
  api_calls: number
  api_calls_refused: number
  limited: number
  faults_fired: number
}

/** A typed client of the control API of a running sandbox (`/__sandbox/*`). */
export class SandboxControl {
  readonly #url: string

  /** @param origin such as `http://127.0.0.1:3002` */
  constructor(origin: string) {
    this.#url = `${origin}/__sandbox`
  }

  addIntegration(body: Of<typeof IntegrationBody>) {
    return this.#call<{ client_id: string }>('POST', '/integrations', body)
  }
  addAccount(body: Of<typeof AccountBody>) {
    return this.#call<SandboxAccount>('POST', '/accounts', body)
  }
  removeAccount(account: string | number) {
    return this.#call<undefined>('DELETE', `/accounts/${account}`)
  }
  rename(body: Of<typeof RenameBody>) {
    return this.#call<SandboxAccount>('POST', '/rename', body)
  }
  /** Revokes all tokens of an account, or of one integration of that account. */
  revoke(body: Of<typeof AccountOnly>) {
    return this.#call<{ revoked: number }>('POST', '/revoke', body)
  }
  /** Expires tokens: refresh tokens, unless `kinds` names others. */
  expire(body: Of<typeof ExpireBody>) {
    return this.#call<{ expired: number }>('POST', '/expire', body)
  }
  /** Issues a pair, a long-lived token or a code without a consent. */
  mint(body: Of<typeof MintBody>) {
    return this.#call<Record<string, string | number>>('POST', '/mint', body)
  }
  setLimits(body: LimitsBody) {
    return this.#call<{ limits: unknown }>('PUT', '/limits', body)
  }
  /** Brings an account, or all of them, into a situation. */
  scenario(name: ScenarioName, account?: string | number) {
    const query = account === undefined ? '' : `?account=${account}`
    return this.#call<{ accounts: number[] }>('POST', `/scenarios/${name}${query}`)
  }
  faults() {
    return this.#call<{ faults: ActiveFault[] }>('GET', '/faults')
  }
  /** Replaces all faults. */
  setFaults(faults: FaultSpec[]) {
    return this.#call<{ faults: ActiveFault[] }>('PUT', '/faults', faults)
  }
  addFaults(faults: FaultSpec[]) {
    return this.#call<{ faults: ActiveFault[] }>('POST', '/faults', faults)
  }
  clearFaults() {
    return this.#call<{ faults: ActiveFault[] }>('DELETE', '/faults')
  }
  /** Installs the integration as from inside the CRM: calls its redirect URI. */
  install(body: Of<typeof Grantee>) {
    return this.#call<{ status?: number }>('POST', '/install', body)
  }
  disconnect(body: Of<typeof DisconnectBody>) {
    return this.#call<{ status?: number; revoked: number }>('POST', '/disconnect', body)
  }
  createExternalIntegration(body: Of<typeof ExternalBody>) {
    return this.#call<{ created: boolean; redirect_url?: string }>(
      'POST',
      '/external-integration',
      body,
    )
  }
  stats() {
    return this.#call<SandboxStats>('GET', '/stats')
  }

  async #call<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(this.#url + path, {
      method,
      ...(body === undefined
        ? {}
        : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`sandbox: ${method} ${path}: ${response.status} ${text}`)
    return (text === '' ? undefined : JSON.parse(text)) as Answer
  }
}
