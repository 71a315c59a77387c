import type { Integrations } from '../integrations/directory.ts'
import { failpoint } from '../lib/failpoint.ts'
import { beginTrace, inSpan } from '../lib/spans.ts'
import { awaitCodePace } from './code-pace.ts'
import { type ConfirmationContext, confirmAccount } from './confirm-account.ts'
import { type ExchangeContext, exchangeCode } from './exchange-code.ts'
import type { Inbox, InboxRow } from './inbox.ts'
import { storeAccount } from './store-account.ts'

interface FinishingContext {
  inbox: Inbox
  integrations: Integrations
  exchange: ExchangeContext
  confirmation: ConfirmationContext
}

/**
 * Takes one onboarding from the inbox to its end: the code for a pair, the pair to its account.
 * Each step is stored before the next one, so that another process can continue after a crash. Does
 * nothing when another process works on it, or when it has ended.
 */
export async function finishOnboarding(
  context: FinishingContext,
  id: string,
  isStopping: () => boolean,
): Promise<void> {
  const { inbox, exchange } = context
  const waiting = await inbox.find(id)
  if (waiting === undefined || waiting.finishedAt !== null) return
  const isCode = waiting.pair === null && waiting.presentedAt === null
  const isPaid = waiting.origin === 'install' || !isCode
  if (!isPaid && !(await awaitCodePace(exchange.database, waiting, isStopping))) return
  const row = await inbox.claim(id)
  if (row === undefined) return
  failpoint('code_presented')
  const fields = { integration: row.integration, inbox: id }
  await beginTrace(
    'amo.onboarding',
    fields,
    () => finishClaimed(context, row),
    (end) => end,
  )
}

/** Returns what became of the callback: whether an account was stored. */
async function finishClaimed(
  { inbox, integrations, exchange, confirmation }: FinishingContext,
  row: InboxRow,
): Promise<'no_pair' | 'not_confirmed' | 'stored'> {
  const integration = await integrations.load(row.integration)
  const onboardedPair =
    row.pair === null
      ? await inSpan('amo.onboarding.exchange', {}, () => exchangeCode(exchange, row, integration))
      : inbox.openPair(row)
  if (onboardedPair === undefined) return 'no_pair'
  const account = await inSpan('amo.onboarding.confirm', {}, () =>
    confirmAccount(confirmation, row, integration, onboardedPair),
  )
  if (account === undefined) return 'not_confirmed'
  failpoint('account_confirmed')
  await inSpan('amo.onboarding.store', { account: account.accountId }, () =>
    storeAccount(confirmation, row, account),
  )
  return 'stored'
}
