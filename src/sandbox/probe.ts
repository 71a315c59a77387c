import type { FastifyInstance } from 'fastify'
import type { Call } from './call.ts'
import { openCall } from './call.ts'
import type { Account } from './directory.ts'
import { domainOf } from './directory.ts'
import { faultsAt, refuse, settle, succeed } from './pipeline.ts'
import { json, notFound, plainProblem, unauthorized } from './refusals.ts'
import { text } from './token-checks.ts'
import { tokenId } from './tokens.ts'
import type { World } from './world.ts'

/**
 * Registers `GET /oauth2/account/current/subdomain` (docs/provider.md, part 4): reports whether a
 * refresh token is alive and the account's current host, and spends nothing. Responds at account
 * hosts and at the API host.
 */
export async function probe(app: FastifyInstance, { world }: { world: World }) {
  app.get('/oauth2/account/current/subdomain', async (request, reply) => {
    const call = openCall(world, request, reply, 'probe')
    const token = text(request.headers['x-refresh-token'])
    call.credential =
      token === undefined ? undefined : world.grants.findOpaque(token, 'refresh_token')
    call.clientId = call.credential?.clientId
    const owner = world.directory.accounts.get(call.credential?.account ?? '')
    call.account = owner ?? world.directory.findByHost(call.host)
    note(call, token)
    if (!(await faultsAt('arrival', call))) await answer(call, token, owner)
    return reply
  })
}

async function answer(call: Call, token: string | undefined, owner: Account | undefined) {
  const { world, host } = call
  if (host.kind === 'account' && world.directory.findByHost(host) === undefined) {
    const oldHost = world.directory.findOldHost(host)
    return refuse(call, oldHost === '401' ? unauthorized('renamed') : notFound())
  }
  if (host.kind !== 'account' && host.kind !== 'api') return refuse(call, notFound())
  if (token === undefined) return refuse(call, headerMissing())
  if (owner === undefined) return refuse(call, unauthorized('garbage'))
  const reason = deadBecause(call, owner)
  if (reason === undefined) {
    if (await faultsAt('before_spend', call)) return undefined
    return sayAlive(call, owner, 'alive')
  }
  if (await faultsAt('refusal', call)) return undefined
  if (call.isSaidAlive) return sayAlive(call, owner, 'lied_alive')
  return refuse(call, unauthorized(reason))
}

function deadBecause({ world, host, credential }: Call, owner: Account): string | undefined {
  const isElsewhere = host.kind === 'account' && world.directory.findByHost(host) !== owner
  if (isElsewhere || ('platform' in host && host.platform !== owner.platform)) return 'elsewhere'
  const integration = world.directory.integrations.get(credential?.clientId ?? '')
  if (credential === undefined || integration === undefined) return 'garbage'
  if (credential.state !== 'live') return credential.state
  if (integration.disabled) return 'revoked'
  return credential.expiresAt > world.settings.clock() ? undefined : 'expired'
}

async function sayAlive(call: Call, owner: Account, outcome: string): Promise<void> {
  if (call.credential !== undefined) call.credential.saidAlive = true
  settle(call, outcome)
  const body = {
    id: owner.accountId,
    subdomain: owner.subdomain,
    domain: domainOf(owner),
    top_level_domain: owner.zone.split('.')[1],
  }
  await succeed(call, json(200, body))
}

function note(call: Call, token: string | undefined): void {
  const { sandboxArrivedAt: arrivedAt } = call.request
  const kind = token === undefined ? 'none' : 'refresh_token'
  call.entry = call.world.books.open({ kind, endpoint: 'probe', arrivedAt })
  call.entry.tokenId = token === undefined ? undefined : tokenId(token)
  call.entry.accountId = call.account?.accountId
  call.entry.clientId = call.clientId
  call.world.books.count('probes', call.account?.key)
}

function headerMissing() {
  const answered = plainProblem(403, 'Forbidden', 'X-Refresh-Token is missing.')
  return { ...answered, outcome: 'no_token', provesUnspent: true }
}
