import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { notePresented } from './books.ts'
import type { Call } from './call.ts'
import { openCall } from './call.ts'
import type { Pair } from './grants.ts'
import { faultsAt, limitRefusal, refuse, settle, succeed } from './pipeline.ts'
import { json } from './refusals.ts'
import type { Passed, TokenFields, TokenRoute } from './token-checks.ts'
import { checkTokenCall, presented, text } from './token-checks.ts'
import { tokenId } from './tokens.ts'
import type { World } from './world.ts'

/**
 * Registers `POST /oauth2/access_token` (docs/provider.md, part 3) and the Kommo guide's `POST
 * /oauth/token`.
 */
export async function tokenEndpoint(app: FastifyInstance, { world }: { world: World }) {
  app.post('/oauth2/access_token', (request, reply) => serve(request, reply, 'account_host'))
  app.post('/oauth/token', (request, reply) => serve(request, reply, 'any_host'))

  async function serve(request: FastifyRequest, reply: FastifyReply, route: TokenRoute) {
    const fields = fieldsOf(request.body)
    const call = arrive(world, openCall(world, request, reply, 'token'), fields)
    await process(call, fields, route)
    return reply
  }
}

/**
 * Checks, spends and responds. The token is dead before the first byte of the response is written.
 */
async function process(call: Call, fields: TokenFields, route: TokenRoute): Promise<void> {
  const { world, host } = call
  const knownClient = world.directory.integrations.get(call.clientId ?? '')?.clientId
  const limited = limitRefusal(world.limiter.take(knownClient, call.account?.key))
  if (limited !== undefined) {
    world.books.count('limited', call.account?.key)
    return refuse(call, limited)
  }
  if (await faultsAt('arrival', call)) return
  const first = checkTokenCall(world, host, fields, route)
  if (!('outcome' in first) && (await faultsAt('before_spend', call))) return
  // Checked again, because a fault may have waited. Nothing else can run from here to the spending.
  const checked = checkTokenCall(world, host, fields, route)
  if ('outcome' in checked) {
    if (checked.outcome === 'reused') countReuse(call)
    return refuse(call, checked)
  }
  const pair = spend(call, checked)
  if (await faultsAt('after_spend', call)) return
  await succeed(call, json(200, pairBody(pair)))
}

function arrive(world: World, call: Call, fields: TokenFields): Call {
  const { kind, token, credential } = presented(world, fields)
  const owner = world.directory.accounts.get(credential?.account ?? '')
  call.account = owner ?? world.directory.findByHost(call.host)
  call.clientId = text(fields.client_id)
  call.credential = credential
  const { sandboxArrivedAt: arrivedAt } = call.request
  call.entry = world.books.open({ kind: token ? kind : 'none', endpoint: 'token', arrivedAt })
  call.entry.tokenId = token === undefined ? undefined : tokenId(token)
  call.entry.accountId = call.account?.accountId
  call.entry.clientId = call.clientId
  call.entry.presentation =
    credential === undefined ? undefined : notePresented(credential, call.entry)
  world.books.count('tokenCalls', call.account?.key)
  const isAgain = call.entry.presentation === 'again' && kind === 'refresh_token'
  if (isAgain) world.books.count('presentedAgain', call.account?.key)
  return call
}

function spend(call: Call, { account, integration, credential }: Passed): Pair {
  const { grants, books } = call.world
  const isCode = credential.kind === 'code'
  const pair = isCode
    ? grants.exchange(credential, account, integration)
    : grants.refresh(credential, account, integration, call.keepsOldAccess)
  books.count(isCode ? 'codeExchanges' : 'refreshes', account.key)
  settle(call, 'accepted')
  call.newRefreshToken = pair.refreshToken
  if (call.entry !== undefined) {
    call.entry.spent = true
    call.entry.newTokenId = tokenId(pair.refreshToken)
  }
  return pair
}

function countReuse(call: Call): void {
  const counter = call.entry?.kind === 'code' ? 'reusedCodes' : 'reusedRefreshTokens'
  call.world.books.count(counter, call.account?.key)
}

function fieldsOf(body: unknown): TokenFields {
  return typeof body === 'object' && body !== null ? { ...body } : {}
}

function pairBody(pair: Pair) {
  return {
    token_type: 'Bearer',
    expires_in: pair.expiresIn,
    server_time: pair.serverTime,
    access_token: pair.accessToken,
    refresh_token: pair.refreshToken,
  }
}
