import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { callbackUrl, refusalUrl } from './callback-urls.ts'
import { consentPage, messagePage, openerRedirectPage, openerRefusalPage } from './consent-pages.ts'
import type { Account, Integration } from './directory.ts'
import type { Host } from './hosts.ts'
import { parseHost } from './hosts.ts'
import type { World } from './world.ts'

// `redirect_uri`, `scope` and `response_type` are accepted and ignored (docs/provider.md, part 1).
const AuthorizeQuery = Type.Object({
  client_id: Type.Optional(Type.String()),
  state: Type.Optional(Type.String()),
  mode: Type.Optional(Type.String()),
  account: Type.Optional(Type.String()),
})

const Decision = Type.Object({
  client_id: Type.String(),
  state: Type.Optional(Type.String()),
  mode: Type.Optional(Type.String()),
  account: Type.Optional(Type.String()),
  decision: Type.Union([Type.Literal('allow'), Type.Literal('deny')]),
  /** Set by the page's script when another window has opened this one. */
  opener: Type.Optional(Type.String()),
})

const DEFAULT_MODE = 'post_message'

/**
 * Registers the consent page, and the redirects after Allow and Deny (docs/provider.md, parts 1 and
 * 2).
 */
export const consent: FastifyPluginAsyncTypebox<{ world: World }> = async (app, { world }) => {
  app.get('/oauth', { schema: { querystring: AuthorizeQuery } }, async (request, reply) => {
    const { client_id: clientId = '', state, mode = DEFAULT_MODE, account } = request.query
    const integration = findIntegration(clientId, parseHost(request.headers.host))
    if (integration === undefined) return sendPage(reply, 404, unknownIntegration())
    const accounts = accountsFor(integration)
    const asked = { clientId, state, mode, account }
    return sendPage(reply, 200, consentPage(integration, accounts, asked))
  })

  app.post('/oauth/decision', { schema: { body: Decision } }, async (request, reply) => {
    const { client_id: clientId, state, mode, decision, opener } = request.body
    const integration = findIntegration(clientId, parseHost(request.headers.host))
    if (integration === undefined) return sendPage(reply, 404, unknownIntegration())
    const hasOpener = opener !== undefined
    if (decision === 'deny') {
      const url = refusalUrl(integration, state)
      return hasOpener
        ? sendPage(reply, 200, openerRefusalPage(clientId, url))
        : reply.redirect(url, 303)
    }
    const account = findAccount(integration, request.body.account ?? '')
    if (account === undefined) return sendPage(reply, 404, unknownAccount())
    const code = world.grants.issueCode(account, integration)
    // Without a state the provider sends this word (docs/provider.md, part 1).
    const url = callbackUrl(integration, account, code, { state: state ?? 'state' })
    return mode === 'popup' && hasOpener
      ? sendPage(reply, 200, openerRedirectPage(url))
      : reply.redirect(url, 303)
  })

  function findIntegration(clientId: string, host: Host): Integration | undefined {
    const found = world.directory.integrations.get(clientId)
    const isElsewhere = 'platform' in host && host.platform !== found?.platform
    return isElsewhere || found?.disabled ? undefined : found
  }

  function accountsFor(integration: Integration): Account[] {
    const all = [...world.directory.accounts.values()]
    return all.filter((account) => isOpenTo(account, integration))
  }

  function findAccount(integration: Integration, ref: string): Account | undefined {
    const found = world.directory.findAccount(ref, integration.platform)
    return found !== undefined && isOpenTo(found, integration) ? found : undefined
  }
}

function isOpenTo(account: Account, { platform, onlyAccount }: Integration): boolean {
  const isOwn = onlyAccount === undefined || onlyAccount === account.key
  return account.platform === platform && isOwn
}

function sendPage(reply: FastifyReply, status: number, text: string): FastifyReply {
  return reply
    .code(status)
    .headers({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
    .type('text/html; charset=utf-8')
    .send(text)
}

function unknownIntegration(): string {
  return messagePage('Integration not found', 'No enabled integration here has this client_id.')
}

function unknownAccount(): string {
  return messagePage('Account not found', 'The integration cannot be installed in this account.')
}
