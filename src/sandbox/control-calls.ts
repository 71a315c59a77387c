import createError from '@fastify/error'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { DisconnectBody, ExternalBody, Grantee } from './control-schemas.ts'
import { assertReachable, getAccount, getGrantee } from './lookup.ts'
import { createExternal, sendDisconnect, sendInstall } from './server-calls.ts'
import { snakeKeys } from './wire.ts'
import type { World } from './world.ts'

const NoHookUrl = createError('SANDBOX_NO_HOOK_URL', 'Neither url nor disconnect_url is set', 422)

/**
 * Registers the calls that the provider's own server makes, on demand. The response reports their
 * results.
 */
export const controlCalls: FastifyPluginAsyncTypebox<{ world: World }> = async (app, { world }) => {
  app.post('/install', { schema: { body: Grantee } }, async (request) => {
    const { integration, account } = getGrantee(world, request.body)
    assertReachable(world, integration.redirectUri)
    return snakeKeys(await sendInstall(world, integration, account))
  })

  app.post('/disconnect', { schema: { body: DisconnectBody } }, async (request) => {
    const { integration, account } = getGrantee(world, request.body)
    const { url = integration.disconnectUrl, revoke = true, signature } = request.body
    if (url === undefined) throw new NoHookUrl()
    assertReachable(world, url)
    const revoked = revoke ? world.grants.revoke(account, integration.clientId) : 0
    const call = await sendDisconnect(world, integration, account, url, signature)
    return { ...snakeKeys(call), revoked }
  })

  app.post('/external-integration', { schema: { body: ExternalBody } }, async (request) => {
    const body = request.body
    const account = getAccount(world, body.account, body.platform)
    assertReachable(world, body.secrets_uri)
    const result = await createExternal(world, {
      account,
      redirectUri: body.redirect_uri,
      secretsUri: body.secrets_uri,
      state: body.state,
      name: body.name ?? 'External integration',
      scopes: body.scopes ?? ['crm', 'notifications'],
      encoding: body.encoding ?? 'json',
      scopesAs: body.scopes_as ?? 'array',
    })
    return {
      ...snakeKeys(result.call),
      created: result.integration !== undefined,
      client_id: result.integration?.clientId,
      redirect_url: result.redirectUrl,
    }
  })

  app.get('/calls', async () => ({ calls: world.outbound.results.map(snakeKeys) }))
}
