import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Account, Integration } from './directory.ts'
import { parseHost } from './hosts.ts'
import type { Refusal } from './refusals.ts'
import { notFound, plainProblem, tooManyRequests } from './refusals.ts'
import { sendExchanged } from './server-calls.ts'
import { text } from './token-checks.ts'
import type { World } from './world.ts'

// The limit is one request per five minutes, user and integration (docs/provider.md, part 6).
const PAUSE_MS = 5 * 60_000

/**
 * `POST /oauth2/exchange_api_key` (docs/provider.md, part 6): responds 202 without a body. The
 * sandbox's server sends the code to the redirect URI. Works only for an integration that is
 * already installed.
 */
export async function exchangeApiKey(app: FastifyInstance, { world }: { world: World }) {
  const acceptedAt = new Map<string, number>()

  app.post('/oauth2/exchange_api_key', async (request, reply) => {
    const fields = typeof request.body === 'object' && request.body !== null ? request.body : {}
    const account = world.directory.findByHost(parseHost(request.headers.host))
    if (account === undefined) return refuse(reply, notFound())
    const checked = check(account, { ...fields })
    if ('outcome' in checked) return refuse(reply, checked)

    const { integration, login, state } = checked
    const key = `${integration.clientId} ${account.key} ${login}`
    const now = world.settings.clock()
    if (now - (acceptedAt.get(key) ?? Number.NEGATIVE_INFINITY) < PAUSE_MS) {
      return refuse(reply, tooManyRequests())
    }
    acceptedAt.set(key, now)
    reply.raw.once('finish', () => callBack(integration, account, state))
    return reply.code(202).send()
  })

  function check(account: Account, fields: Record<string, unknown>) {
    const integration = world.directory.integrations.get(text(fields.client_uuid) ?? '')
    const user = account.users.find(({ login }) => login === fields.login)
    const hasClient = integration?.clientSecret === fields.client_secret
    const isOfPlatform = integration?.platform === account.platform
    if (integration === undefined || !hasClient || !isOfPlatform) return badData('client')
    if (user === undefined || user.apiKey !== fields.api_key) return badData('login or api_key')
    if (!user.administrator) return noRights('The user is no administrator.')
    if (!integration.installedIn.has(account.key)) return noRights('Install the integration first.')
    return { integration, login: user.login, state: text(fields.state) }
  }

  function callBack(integration: Integration, account: Account, state: string | undefined): void {
    sendExchanged(world, integration, account, state).catch((error) => {
      app.log.warn({ error: String(error) }, 'exchange callback not sent')
    })
  }
}

function refuse(reply: FastifyReply, refusal: Refusal): FastifyReply {
  return reply.code(refusal.status).type(refusal.contentType).send(refusal.body)
}

function badData(what: string): Refusal {
  const answer = plainProblem(400, 'Bad Request', `The ${what} is not valid.`)
  return { ...answer, outcome: 'bad_data', provesUnspent: true }
}

function noRights(why: string): Refusal {
  return { ...plainProblem(403, 'Forbidden', why), outcome: 'no_rights', provesUnspent: true }
}
