import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { accountBody, leadsBody, pipelinesBody, usersBody } from './api-bodies.ts'
import type { Call } from './call.ts'
import { openCall } from './call.ts'
import type { Account, Integration } from './directory.ts'
import { faultsAt, limitRefusal, refuse, succeed } from './pipeline.ts'
import type { Answer } from './refusals.ts'
import { json, notFound, plainProblem, unauthorized } from './refusals.ts'
import type { World } from './world.ts'

interface ApiQuery {
  page?: string
  limit?: string
}
type Body = (account: Account, integration: Integration, query: ApiQuery) => object | Answer | null

const HAL = 'application/hal+json'

/** The four API calls of a smoke test (provider.md 12). Calls are counted, not booked. */
export async function api(app: FastifyInstance, { world }: { world: World }) {
  const routes: Record<string, Body> = {
    '/api/v4/account': (account) => accountBody(account),
    '/api/v4/users': (account, integration) =>
      integration.onlyAccount === undefined ? usersBody(account) : forbidden(),
    '/api/v4/leads/pipelines': (account) => pipelinesBody(account),
    '/api/v4/leads': (account, _integration, query) => leadsBody(account, query),
  }
  for (const [url, body] of Object.entries(routes)) {
    app.get<{ Querystring: ApiQuery }>(url, (request, reply) => serve(world, request, reply, body))
  }
}

async function serve(
  world: World,
  request: FastifyRequest<{ Querystring: ApiQuery }>,
  reply: FastifyReply,
  makeBody: Body,
) {
  const call = openCall(world, request, reply, 'api')
  const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const credential = token === undefined ? undefined : world.grants.findAccess(token)
  call.clientId = credential?.clientId
  call.credential = credential
  call.account = world.directory.accounts.get(credential?.account ?? '')
  world.books.count('apiCalls', call.account?.key)
  await process(call, (account, integration) => makeBody(account, integration, request.query))
  return reply
}

async function process(
  call: Call,
  makeBody: (account: Account, integration: Integration) => object | Answer | null,
): Promise<void> {
  const { world, account, clientId } = call
  const limited = limitRefusal(world.limiter.take(clientId, account?.key))
  if (limited !== undefined) {
    world.books.count('limited', account?.key)
    return refuse(call, limited)
  }
  if (await faultsAt('arrival', call)) return
  if (call.host.kind === 'site' || call.host.kind === 'unknown') return refuse(call, notFound())
  const integration = world.directory.integrations.get(clientId ?? '')
  if (account === undefined || integration === undefined || !isAtHome(call, integration)) {
    const atHost = world.directory.findByHost(call.host)
    world.books.count('apiCallsRefused', account?.key ?? atHost?.key)
    const isGone = call.host.kind === 'account' && atHost === undefined
    const isSilentMove = world.directory.findOldHost(call.host) === '401'
    return refuse(call, isGone && !isSilentMove ? notFound() : unauthorized('dead'))
  }
  if (await faultsAt('before_spend', call)) return
  if (await faultsAt('after_spend', call)) return
  const body = makeBody(account, integration)
  if (body === null) return succeed(call, { status: 204, contentType: HAL, body: '' })
  await succeed(call, 'contentType' in body ? body : json(200, body, HAL))
}

/**
 * A token counts at its account's host, at the API host of its platform, and at the sandbox's own address: that is the
 * `api_url` which the broker gives to sibling services.
 */
function isAtHome({ world, host, account }: Call, integration: Integration): boolean {
  if (integration.disabled || account === undefined) return false
  if (host.kind === 'loopback') return true
  if (host.kind === 'api') return host.platform === account.platform
  return world.directory.findByHost(host) === account
}

function forbidden(): Answer {
  return plainProblem(403, 'Forbidden', 'The integration may not use this method.')
}
