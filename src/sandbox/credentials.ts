import { tokenId } from './tokens.ts'

export type CredentialKind = 'code' | 'refresh_token' | 'access_token'

export interface Credential {
  id: string
  kind: CredentialKind
  account: string
  clientId: string
  grantId: number
  expiresAt: number
  state: 'live' | 'spent' | 'revoked'
  /** Number of times it arrived at the token endpoint. */
  sends: number
  /**
   * Sequence numbers (in the books) of the sends that may have spent it: neither their response nor
   * a probe proved it unspent.
   */
  doubtfulSends: Set<number>
  /** A probe reported it alive after the last send, so it may be sent again. */
  saidAlive: boolean
}

export type CredentialSeed = Pick<
  Credential,
  'kind' | 'account' | 'clientId' | 'grantId' | 'expiresAt'
>

/** Number of dead tokens that are remembered with the reason. Older ones count as spent. */
const DEAD_REMEMBERED = 200_000

/** Records live and dead tokens by their short names. Stores no token itself. */
export function createCredentials(clock: () => number) {
  const live = new Map<string, Credential>()
  const dead = new Map<string, Credential>()
  const owned = new Map<string, Map<string, Set<string>>>()

  function add(token: string, seed: CredentialSeed): Credential {
    const credential = createCredential(tokenId(token), seed)
    const mine = idsOf(seed.account, seed.clientId)
    forgetExpired(mine)
    live.set(credential.id, credential)
    mine.add(credential.id)
    return credential
  }

  /** Ends a credential. From now on every request that presents it is refused. */
  function bury(credential: Credential, state: 'spent' | 'revoked'): void {
    credential.state = state
    live.delete(credential.id)
    idsOf(credential.account, credential.clientId).delete(credential.id)
    if (credential.kind === 'access_token') return
    dead.set(credential.id, credential)
    const oldest = dead.keys().next()
    if (dead.size > DEAD_REMEMBERED && !oldest.done) dead.delete(oldest.value)
  }

  function find(token: string): Credential | undefined {
    const id = tokenId(token)
    return live.get(id) ?? dead.get(id)
  }

  /** Returns the live credentials of an account, or of one integration of that account. */
  function listLive(account: string, clientId?: string): Credential[] {
    const clients = clientId === undefined ? [...(owned.get(account)?.keys() ?? [])] : [clientId]
    const ids = clients.flatMap((client) => [...idsOf(account, client)])
    return ids.map((id) => live.get(id)).filter((found) => found !== undefined)
  }

  function idsOf(account: string, clientId: string): Set<string> {
    const clients = owned.get(account) ?? new Map<string, Set<string>>()
    const ids = clients.get(clientId) ?? new Set<string>()
    owned.set(account, clients.set(clientId, ids))
    return ids
  }

  // An account that refreshes every second must not accumulate expired access tokens.
  function forgetExpired(ids: Set<string>): void {
    for (const id of ids) {
      const credential = live.get(id)
      if (credential?.kind !== 'access_token') continue
      if (credential.expiresAt > clock()) return
      bury(credential, 'revoked')
    }
  }

  return { add, bury, find, listLive }
}

export function createCredential(id: string, seed: CredentialSeed): Credential {
  return { id, ...seed, state: 'live', sends: 0, doubtfulSends: new Set(), saidAlive: false }
}
