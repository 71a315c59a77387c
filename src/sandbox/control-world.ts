import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  AccountBody,
  AccountOnly,
  ExpireBody,
  IntegrationBody,
  LimitsBody,
  MintBody,
  RenameBody,
} from './control-schemas.ts'
import type { Account, Integration } from './directory.ts'
import { domainOf } from './directory.ts'
import { Conflict, getAccount, getGrantee } from './lookup.ts'
import type { World } from './world.ts'

const YEAR_SECONDS = 365 * 86_400

/** Registers the routes for accounts, integrations, tokens and limits. */
export const controlWorld: FastifyPluginAsyncTypebox<{ world: World }> = async (app, { world }) => {
  app.post('/integrations', { schema: { body: IntegrationBody } }, async (request, reply) => {
    const body = request.body
    const integration = world.addIntegration({
      platform: body.platform,
      clientId: body.client_id,
      clientSecret: body.client_secret,
      redirectUri: body.redirect_uri,
      ...(body.name === undefined ? {} : { name: body.name }),
      ...(body.scopes === undefined ? {} : { scopes: body.scopes }),
      ...(body.disconnect_url === undefined ? {} : { disconnectUrl: body.disconnect_url }),
      ...(body.disabled === undefined ? {} : { disabled: body.disabled }),
    })
    return reply.code(201).send(integrationView(integration))
  })

  app.post('/accounts', { schema: { body: AccountBody } }, async (request, reply) => {
    const { account_id: accountId, api_domain: apiDomain, ...seed } = request.body
    const account = orConflict(() =>
      world.addAccount({
        ...seed,
        ...(accountId === undefined ? {} : { accountId }),
        ...(apiDomain === undefined ? {} : { apiDomain }),
      }),
    )
    return reply.code(201).send(accountView(account))
  })

  app.delete(
    '/accounts/:account',
    { schema: { params: Type.Object({ account: Type.String() }) } },
    async (request, reply) => {
      const account = getAccount(world, request.params.account)
      world.grants.revoke(account)
      world.directory.removeAccount(account)
      return reply.code(204).send()
    },
  )

  app.post('/rename', { schema: { body: RenameBody } }, async (request) => {
    const { account: ref, platform, subdomain, old_host: oldHost } = request.body
    const account = getAccount(world, ref, platform)
    orConflict(() => world.directory.rename(account, subdomain, oldHost))
    return accountView(account)
  })

  app.post('/revoke', { schema: { body: AccountOnly } }, async (request) => {
    const { account: ref, platform, client_id: clientId } = request.body
    const account = getAccount(world, ref, platform ?? platformOf(clientId))
    return { revoked: world.grants.revoke(account, clientId) }
  })

  app.post('/expire', { schema: { body: ExpireBody } }, async (request) => {
    const { account: ref, platform, client_id: clientId, kinds } = request.body
    const account = getAccount(world, ref, platform ?? platformOf(clientId))
    return { expired: world.grants.expire(account, kinds ?? ['refresh_token'], clientId) }
  })

  app.post('/mint', { schema: { body: MintBody } }, async (request, reply) => {
    const { integration, account } = getGrantee(world, request.body)
    const { kind = 'pair', access_ttl_seconds, refresh_ttl_seconds } = request.body
    const named = { account_id: account.accountId, domain: domainOf(account) }
    if (kind === 'code') {
      return reply.code(201).send({ ...named, code: world.grants.issueCode(account, integration) })
    }
    if (kind === 'long_lived') {
      const ttlSeconds = access_ttl_seconds ?? YEAR_SECONDS
      const accessToken = world.grants.mintLongLived(account, integration, ttlSeconds)
      return reply.code(201).send({ ...named, access_token: accessToken, expires_in: ttlSeconds })
    }
    const lifetimes = {
      accessTtlSeconds: access_ttl_seconds,
      refreshTtlSeconds: refresh_ttl_seconds,
    }
    const pair = world.grants.mintPair(account, integration, lifetimes)
    return reply.code(201).send({
      ...named,
      token_type: 'Bearer',
      expires_in: pair.expiresIn,
      server_time: pair.serverTime,
      access_token: pair.accessToken,
      refresh_token: pair.refreshToken,
    })
  })

  app.put('/limits', { schema: { body: LimitsBody } }, async (request) => {
    const { off, ...given } = request.body
    world.limiter.set(off === true ? false : limitsOf(given))
    return { limits: world.limiter.get() }
  })

  function platformOf(clientId: string | undefined) {
    return world.directory.integrations.get(clientId ?? '')?.platform
  }
}

function limitsOf(given: Omit<LimitsBody, 'off'>) {
  return {
    ...(given.per_integration === undefined ? {} : { perIntegration: given.per_integration }),
    ...(given.per_account === undefined ? {} : { perAccount: given.per_account }),
    ...(given.block_after === undefined ? {} : { blockAfter: given.block_after }),
    ...(given.block_ms === undefined ? {} : { blockMs: given.block_ms }),
  }
}

function accountView(account: Account) {
  return {
    platform: account.platform,
    account_id: account.accountId,
    subdomain: account.subdomain,
    domain: domainOf(account),
    api_domain: account.apiDomain,
    leads: account.leads,
  }
}

function integrationView(integration: Integration) {
  return {
    platform: integration.platform,
    client_id: integration.clientId,
    redirect_uri: integration.redirectUri,
    name: integration.name,
    disabled: integration.disabled,
  }
}

function orConflict<T>(act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw new Conflict(error instanceof Error ? error.message : 'conflict')
  }
}
