import { setTimeout as delay } from 'node:timers/promises'
import { signDisconnect } from '../../../src/sandbox/server-calls.ts'
import { onboard, type Subject } from '../../support/subjects.ts'
import { inBackground, type Stage } from '../stage.ts'
import { between, type Fault, followUp, pick, type Random, takeSubject } from './fault.ts'

const MEET_LIMIT_MS = 60_000
/** The refresh is on its way for so long, and something happens to its account meanwhile. */
const UNDER_WAY_MS = 1_500
/** Excuses for tokens that the harness itself has killed. */
const EARLY_MS = 90_000

export const accountFaults: Fault[] = [
  inMidRefresh('account removed in mid-refresh, and onboarded again', async (stage, subject) => {
    stage.callers.removed.add(subject.accountId)
    await remove(stage, subject)
    await delay(300)
    await onboard(stage, subject)
    // A caller may have found the gap, and its answer be on its way.
    setTimeout(() => stage.callers.removed.delete(subject.accountId), 3_000).unref()
  }),
  inMidRefresh('account imported over in mid-refresh', (stage, subject) => onboard(stage, subject)),
  inMidRefresh('account renamed in mid-refresh', async ({ sandbox }, { account }) => {
    sandbox.world.directory.rename(account, `${account.subdomain}r`, '404')
  }),
  inMidRefresh('disconnect hook replayed in mid-refresh', async (stage, subject, random) => {
    for (let times = 0; times < 3; times++) await sendHook(stage, subject, random)
  }),
  ...(['404', '401', 'invalid_account'] as const).map((oldHost) => ({
    name: `account renamed, its old host says ${oldHost}`,
    weight: 2,
    inject: (stage: Stage, random: Random) =>
      onAccount(
        stage,
        random,
        `account renamed, its old host says ${oldHost}`,
        async ({ account }) => {
          stage.sandbox.world.directory.rename(account, `${account.subdomain}x`, oldHost)
        },
      ),
  })),
  {
    name: 'disconnect hook replayed',
    weight: 2,
    inject: (stage, random) =>
      onAccount(stage, random, 'disconnect hook replayed', (subject) =>
        sendHook(stage, subject, random),
      ),
  },
  {
    name: 'grant revoked for good',
    inject: (stage, random) =>
      onAccount(stage, random, 'grant revoked for good', async ({ accountId, account, client }) => {
        stage.callers.early.set(accountId, Date.now() + EARLY_MS)
        stage.sandbox.world.grants.revoke(account, client.clientId)
      }),
  },
  {
    name: 'access token dead before its time, and reported',
    weight: 2,
    inject: (stage, random) =>
      onAccount(
        stage,
        random,
        'access token dead before its time, and reported',
        async ({ accountId, account, client }) => {
          stage.callers.early.set(accountId, Date.now() + EARLY_MS)
          stage.sandbox.world.grants.expire(account, ['access_token'], client.clientId)
        },
      ),
  },
]

/** Does it to an account that is due soon, and follows how it is refreshed. */
async function onAccount(
  stage: Stage,
  random: Random,
  name: string,
  work: (subject: Subject) => Promise<void>,
): Promise<void> {
  const subject = takeSubject(stage, random)
  const incident = stage.incidents.begin(name)
  await work(subject)
  inBackground(stage, followUp(stage, incident, subject.accountId, subject.vitals.generation))
}

function inMidRefresh(
  name: string,
  work: (stage: Stage, subject: Subject, random: Random) => Promise<void>,
): Fault {
  return {
    name,
    weight: 2,
    async inject(stage, random) {
      const { vitals, ...subject } = takeSubject(stage, random)
      const { accountId } = subject
      const incident = stage.incidents.begin(name)
      const { faults } = stage.sandbox.world
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
        if ((await stage.pulse.until(accountId, isMet, MEET_LIMIT_MS)) === undefined) {
          stage.busy.delete(accountId)
          return stage.incidents.drop(incident)
        }
        incident.atMs = Date.now()
        await work(stage, subject, random)
        return followUp(stage, incident, accountId, vitals.generation)
      }
      inBackground(stage, meet())
    },
  }
}

async function remove({ vault }: Stage, { accountId, integration }: Subject): Promise<void> {
  await vault.db
    .deleteFrom('amo_tokens')
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .execute()
}

/** As the provider sends it, and as anybody may send it again who has seen it once. */
async function sendHook(
  stage: Stage,
  { client, accountId }: Subject,
  random: Random,
): Promise<void> {
  const up = stage.replicas.filter(({ isUp }) => isUp)
  if (up.length === 0) return
  const url = new URL('/hooks/disconnect', pick(up, random).publicUrl)
  url.searchParams.set('account_id', String(accountId))
  url.searchParams.set('client_uuid', client.clientId)
  const signature = signDisconnect(client.clientSecret, client.clientId, accountId)
  url.searchParams.set('signature', signature)
  const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined)
  await answer?.text().catch(() => {})
  if (answer?.status === 404) stage.incidents.note('disconnect hook: no such route here')
}
