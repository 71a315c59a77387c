import type { Account } from './directory.ts'
import type { FaultSpec } from './faults.ts'
import type { World } from './world.ts'

const SLOW_MS = 5_000

export interface Scenario {
  does: string
  /** It changes existing tokens, so it cannot be chosen at the start. */
  needsPair?: true
  faults?: (account: Account) => FaultSpec[]
  apply?: (world: World, account: Account) => void
}

/** Situations of real accounts by name, as a short way to the faults that they consist of. */
export const scenarios = new Map<string, Scenario>(
  Object.entries<Scenario>({
    expired: {
      does: 'access and refresh tokens have run out: a person must authorize again',
      needsPair: true,
      apply: (world, account) => {
        world.grants.expire(account, ['access_token', 'refresh_token'])
      },
    },
    revoked: {
      does: 'the customer revoked the integration: all tokens are dead',
      needsPair: true,
      apply: (world, account) => {
        world.grants.revoke(account)
      },
    },
    moved: {
      does: 'the account was renamed to "<subdomain>-moved"; its old host answers 404',
      apply: (world, account) => {
        if (account.subdomain.endsWith('-moved')) return
        world.directory.rename(account, `${account.subdomain}-moved`)
      },
    },
    blocked: {
      does: 'nginx answers 403 with HTML to every call, the token endpoint included',
      faults: ({ accountId }) => [{ fault: 'forbidden_html', account: accountId }],
    },
    slow: {
      does: `every answer takes ${SLOW_MS} ms`,
      faults: ({ accountId }) => [
        { fault: 'delay_before_spend', account: accountId, delay_ms: SLOW_MS },
      ],
    },
  }),
)

/** Brings accounts into a situation. Throws for an unknown name. */
export function applyScenario(world: World, name: string, accounts: readonly Account[]): void {
  const scenario = scenarios.get(name)
  if (scenario === undefined) {
    throw new Error(`no scenario is called ${name}; there are ${[...scenarios.keys()].join(', ')}`)
  }
  for (const account of accounts) {
    scenario.apply?.(world, account)
    world.faults.add(scenario.faults?.(account) ?? [])
  }
}
