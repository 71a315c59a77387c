import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { accountBody, pipelineBody, pipelinesBody, userBodies, usersBody } from './api-bodies.ts'
import {
  changeBodies,
  changeBody,
  createBodies,
  type EntityQuery,
  listBody,
  oneBody,
} from './api-entities.ts'
import type { Call } from './call.ts'
import { openCall } from './call.ts'
import type { Account, Integration } from './directory.ts'
import { faultsAt, limitRefusal, refuse, succeed } from './pipeline.ts'
import type { Answer } from './refusals.ts'
import { json, notFound, plainProblem, unauthorized } from './refusals.ts'
import type { World } from './world.ts'

interface ApiRequest {
  query: EntityQuery
  body: unknown
  /** The number at the end of the path. */
  id: number
  /** The names in `?with=`. */
  wanted: string[]
}
type Body = (account: Account, integration: Integration, asked: ApiRequest) => object | null
type Route = [method: 'GET' | 'POST' | 'PATCH', url: string, body: Body]

const HAL = 'application/hal+json'

/**
 * Registers the API calls that services and SDKs try first (docs/provider.md, part 12). Calls are
 * counted but not recorded in the books.
 */
export async function api(app: FastifyInstance, { world }: { world: World }) {
  const { crm } = world
  const routes: Route[] = [
    ['GET', '/account', (account, _integration, { wanted }) => accountBody(account, wanted)],
    ['GET', '/users', forAdministrators((account, { wanted }) => usersBody(account, wanted))],
    ['GET', '/users/:id', forAdministrators(findUser)],
    ['GET', '/leads/pipelines', (account) => pipelinesBody(account)],
    ['GET', '/leads/pipelines/:id', findPipeline],
  ]
  for (const kind of ['leads', 'contacts'] as const) {
    routes.push(
      ['GET', `/${kind}`, (account, _, { query }) => listBody(crm, account, kind, query)],
      [
        'GET',
        `/${kind}/:id`,
        (account, _, { id, query }) => oneBody(crm, account, kind, id, query),
      ],
      ['POST', `/${kind}`, (account, _, { body }) => createBodies(crm, account, kind, body)],
      ['PATCH', `/${kind}`, (account, _, { body }) => changeBodies(crm, account, kind, body)],
      [
        'PATCH',
        `/${kind}/:id`,
        (account, _, { id, body }) => changeBody(crm, account, kind, id, body),
      ],
    )
  }
  for (const [method, url, body] of routes) {
    app.route<{ Querystring: EntityQuery; Params: { id?: string } }>({
      method,
      url: `/api/v4${url}`,
      handler: (request, reply) => serve(world, request, reply, body),
    })
  }
}

function forAdministrators(body: (account: Account, asked: ApiRequest) => object | null): Body {
  return (account, integration, asked) =>
    integration.onlyAccount === undefined ? body(account, asked) : forbidden()
}

function findUser(account: Account, { id, wanted }: ApiRequest): object | null {
  return userBodies(account, wanted).find((user) => user.id === id) ?? null
}

function findPipeline(account: Account, _integration: Integration, { id }: ApiRequest) {
  return id === account.accountId ? pipelineBody(account) : notFound()
}

async function serve(
  world: World,
  request: FastifyRequest<{ Querystring: EntityQuery; Params: { id?: string } }>,
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
  const { query, body, params } = request
  const asked = { query, body, id: Number(params.id), wanted: query.with?.split(',') ?? [] }
  await process(call, (account, integration) => makeBody(account, integration, asked))
  return reply
}

async function process(
  call: Call,
  makeBody: (account: Account, integration: Integration) => object | null,
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
  await succeed(call, isAnswer(body) ? body : json(200, body, HAL))
}

/**
 * Returns whether a token is accepted at this host: the host of its account, the API host of its
 * platform, or the sandbox's own address, which is the `api_url` in the broker's token responses.
 */
function isAtHome({ world, host, account }: Call, integration: Integration): boolean {
  if (integration.disabled || account === undefined) return false
  if (host.kind === 'loopback') return true
  if (host.kind === 'api') return host.platform === account.platform
  return world.directory.findByHost(host) === account
}

function isAnswer(body: object): body is Answer {
  return 'contentType' in body
}

function forbidden(): Answer {
  return plainProblem(403, 'Forbidden', 'The integration may not use this method.')
}
