import { readHoldings } from '../holdings.ts'
import type { Stage } from '../stage.ts'

/** Accounts that are not active, or whose row holds a pair that the provider would refuse. */
export async function countStale({ vault, sandbox, subjects }: Stage): Promise<number> {
  const holdings = await readHoldings(vault.db, vault.keyRing)
  const byAccount = new Map(holdings.map((holding) => [holding.account, holding]))
  return subjects.filter(({ accountId, account, client }) => {
    const holding = byAccount.get(accountId)
    if (holding?.status !== 'active') return true
    const live = sandbox.world.grants.liveRefreshTokens(account, client.clientId)
    return !live.includes(holding.current)
  }).length
}
