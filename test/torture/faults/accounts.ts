import { setTimeout as delay } from 'node:timers/promises'
import { signDisconnect } from '../../../src/sandbox/server-calls.ts'
import type { SandboxAccount } from '../../support/sandbox-accounts.ts'
import { type Harness, inBackground, onboardAgain } from '../harness.ts'
import { between, type Fault, followUp, pick, type Random, takeSubject } from './fault.ts'

const MEET_LIMIT_MS = 60_000
/** Duration of the refresh during which something happens to its account. */
const UNDER_WAY_MS = 1_500
/** Dead tokens are excused for this time after the harness has killed them. */
const EARLY_MS = 90_000

export const accountFaults: Fault[] = [
  inMidRefresh('account removed in mid-refresh, and onboarded again', async (harness, subject) => {
    harness.callers.removed.add(subject.accountId)
    await remove(harness, subject)
    await delay(300)
    await onboardAgain(harness, subject)
    // A caller may have met the missing account, and its response may still be on the way.
    setTimeout(() => harness.callers.removed.delete(subject.accountId), 3_000).unref()
  }),
  inMidRefresh('account imported over in mid-refresh', (harness, subject) =>
    onboardAgain(harness, subject),
  ),
  inMidRefresh('account renamed in mid-refresh', async ({ sandbox }, { account }) => {
    sandbox.world.directory.rename(account, `${account.subdomain}r`, '404')
  }),
  inMidRefresh('disconnect hook replayed in mid-refresh', async (harness, subject, random) => {
    for (let times = 0; times < 3; times++) await sendHook(harness, subject, random)
  }),
  ...(['404', '401', 'invalid_account'] as const).map((oldHost) => ({
    name: `account renamed, its old host says ${oldHost}`,
    weight: 2,
    inject: (harness: Harness, random: Random) =>
      onAccount(
        harness,
        random,
        `account renamed, its old host says ${oldHost}`,
        async ({ account }) => {
          harness.sandbox.world.directory.rename(account, `${account.subdomain}x`, oldHost)
        },
      ),
  })),
  {
    name: 'disconnect hook replayed',
    weight: 2,
    inject: (harness, random) =>
      onAccount(harness, random, 'disconnect hook replayed', (subject) =>
        sendHook(harness, subject, random),
      ),
  },
  {
    name: 'grant revoked for good',
    inject: (harness, random) =>
      onAccount(
        harness,
        random,
        'grant revoked for good',
        async ({ accountId, account, client }) => {
          harness.callers.early.set(accountId, Date.now() + EARLY_MS)
          harness.sandbox.world.grants.revoke(account, client.clientId)
        },
      ),
  },
  {
    name: 'access token dead before its time, and reported',
    weight: 2,
    inject: (harness, random) =>
      onAccount(
        harness,
        random,
        'access token dead before its time, and reported',
        async ({ accountId, account, client }) => {
          harness.callers.early.set(accountId, Date.now() + EARLY_MS)
          harness.sandbox.world.grants.expire(account, ['access_token'], client.clientId)
        },
      ),
  },
]

/** Acts on an account that is due soon, and follows its refresh. */
async function onAccount(
  harness: Harness,
  random: Random,
  name: string,
  work: (subject: SandboxAccount) => Promise<void>,
): Promise<void> {
  const subject = takeSubject(harness, random)
  const incident = harness.incidents.begin(name)
  await work(subject)
  inBackground(harness, followUp(harness, incident, subject.accountId, subject.vitals.generation))
}

function inMidRefresh(
  name: string,
  work: (harness: Harness, subject: SandboxAccount, random: Random) => Promise<void>,
): Fault {
  return {
    name,
    weight: 2,
    async inject(harness, random) {
      const { vitals, ...subject } = takeSubject(harness, random)
      const { accountId } = subject
      const incident = harness.incidents.begin(name)
      const { faults } = harness.sandbox.world
      faults.add([
        {
          fault: pick(['delay_after_spend', 'delay_before_spend'], random),
          endpoint: 'token',
          account: accountId,
          times: 1,
          delay_ms: Math.round(between(UNDER_WAY_MS / 2, UNDER_WAY_MS, random)),
        },
      ])
      const active = faults.list().at(-1)
      const meet = async () => {
        const isMet = () => (active?.fired ?? 0) > 0
        if ((await harness.pulse.until(accountId, isMet, MEET_LIMIT_MS)) === undefined) {
          harness.busy.delete(accountId)
          return harness.incidents.drop(incident)
        }
        incident.atMs = Date.now()
        await work(harness, subject, random)
        return followUp(harness, incident, accountId, vitals.generation)
      }
      inBackground(harness, meet())
    },
  }
}

async function remove(
  { vault }: Harness,
  { accountId, integration }: SandboxAccount,
): Promise<void> {
  await vault.db
    .deleteFrom('amo_tokens')
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .execute()
}

/** Sends the hook like the provider, or like an attacker who has recorded one. */
async function sendHook(
  harness: Harness,
  { client, accountId }: SandboxAccount,
  random: Random,
): Promise<void> {
  const up = harness.replicas.filter(({ isUp }) => isUp)
  if (up.length === 0) return
  const url = new URL('/hooks/disconnect', pick(up, random).publicUrl)
  url.searchParams.set('account_id', String(accountId))
  url.searchParams.set('client_uuid', client.clientId)
  const signature = signDisconnect(client.clientSecret, client.clientId, accountId)
  url.searchParams.set('signature', signature)
  const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined)
  await answer?.text().catch(() => {})
  if (answer?.status === 404) harness.incidents.note('disconnect hook: no such route here')
}
