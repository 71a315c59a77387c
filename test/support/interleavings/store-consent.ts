import { storeOnboarded } from '../../../src/pairs/onboard-pair.ts'
import { findPair } from '../../../src/provider/token-endpoint.ts'
import type { RefreshContext } from '../../../src/refresh/context.ts'
import { KEY } from '../engine.ts'

/** Stores the pair of a new consent, as an onboarding does. A replica may die meanwhile. */
export function storeConsent(context: RefreshContext, body: string): void {
  const pair = findPair(body)
  if (pair?.claims === undefined) throw new Error('the model’s own pair cannot be read')
  const account = {
    ...KEY,
    domain: 'a.amocrm.ru',
    apiDomain: 'api.amocrm.ru',
    pair,
    issuedAt: new Date((pair.claims.issuedAtSeconds ?? 0) * 1000),
    sentAtMs: context.heartbeat.nowMs(),
    isExpected: true,
  }
  const { commitContext } = context
  commitContext.claims
    .transaction()
    .execute((trx) => storeOnboarded(commitContext, trx, account))
    .catch(() => {})
}
