import type { Harness } from '../harness.ts'
import { readHoldings } from '../holdings.ts'

/** Returns the accounts that are not active, or whose stored pair the provider would refuse. */
export async function countStale({ vault, sandbox, subjects }: Harness): Promise<number> {
  const holdings = await readHoldings(vault.db, vault.keyRing)
  const byAccount = new Map(holdings.map((holding) => [holding.account, holding]))
  return subjects.filter(({ accountId, account, client }) => {
    const holding = byAccount.get(accountId)
    if (holding?.status !== 'active') return true
    const live = sandbox.world.grants.liveRefreshTokens(account, client.clientId)
    return !live.includes(holding.current)
  }).length
}
