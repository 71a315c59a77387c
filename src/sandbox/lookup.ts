import createError from '@fastify/error'
import type { Account, Integration } from './directory.ts'
import type { Platform } from './hosts.ts'
import type { World } from './world.ts'

const UnknownAccount = createError('SANDBOX_UNKNOWN_ACCOUNT', 'There is no account %s', 404)
const UnknownIntegration = createError('SANDBOX_UNKNOWN_CLIENT', 'There is no client_id %s', 404)
const Unreachable = createError(
  'SANDBOX_UNREACHABLE',
  '%s is not on this machine, and no callbackOrigin is set',
  422,
)
export const Conflict = createError('SANDBOX_CONFLICT', '%s', 409)

/** Returns the account with this id, subdomain or domain. Throws 404. */
export function getAccount(world: World, ref: string | number, platform?: Platform): Account {
  const account = world.directory.findAccount(ref, platform)
  if (account === undefined) throw new UnknownAccount(String(ref))
  return account
}

/** Returns the integration with this client id. Throws 404. */
function getIntegration(world: World, clientId: string): Integration {
  const integration = world.directory.integrations.get(clientId)
  if (integration === undefined) throw new UnknownIntegration(clientId)
  return integration
}

/** Returns an integration and an account on its platform. Throws 404. */
export function getGrantee(world: World, asked: { client_id: string; account: string | number }) {
  const integration = getIntegration(world, asked.client_id)
  return { integration, account: getAccount(world, asked.account, integration.platform) }
}

/** Throws 422 for an address that the sandbox's server must not call. */
export function assertReachable(world: World, url: string): void {
  if (!world.outbound.canReach(url)) throw new Unreachable(new URL(url).host)
}
