import { setTimeout as delay } from 'node:timers/promises'
import { REFRESH_STEPS, type RefreshStep } from '../../../src/lib/failpoint.ts'
import type { FaultSpec } from '../../../src/sandbox/faults.ts'
import type { SandboxAccount } from '../../support/sandbox-accounts.ts'
import { type Harness, inBackground, onboardAgain } from '../harness.ts'
import type { Entry } from '../journal.ts'
import { orderAtAll } from '../order-at-all.ts'
import type { Replica } from '../replica.ts'
import { between, type Fault, followUp, generationOf, type Random, takeSubject } from './fault.ts'

/** The steps at which a process is killed. */
export const KILLED_AT: readonly RefreshStep[] = REFRESH_STEPS

/** A frequent step is reached at once, a rare one when its account is due or probed again. */
const MEET_LIMIT_MS = 150_000

type Way = (harness: Harness, subject: SandboxAccount) => void

const strike =
  (...specs: Omit<FaultSpec, 'account'>[]): Way =>
  ({ sandbox }, { accountId }) =>
    sandbox.world.faults.add(specs.map((spec) => ({ ...spec, account: accountId })))

const unclear = strike({ fault: 'drop_before_spend', endpoint: 'token', times: 1 })
const lost = strike({ fault: 'bad_gateway_after_spend', endpoint: 'token', times: 1 })

/** Faults that lead a refresh to a step which it does not reach by itself. */
const WAYS: Partial<Record<RefreshStep, Way>> = {
  reclaimed: unclear,
  probing: unclear,
  probed: unclear,
  left_unresolved: unclear,
  released_with_backoff: strike({ fault: 'too_many_requests', endpoint: 'token', times: 1 }),
  moved: ({ sandbox }, { account }) =>
    sandbox.world.directory.rename(account, `${account.subdomain}m`, '404'),
  requiring_reauth: lost,
  reauth_required: lost,
  // The provider wrongly reports the token as revoked and dead. A later probe finds it alive.
  reviving: strike(
    { fault: 'revoked', endpoint: 'token', times: 1 },
    { fault: 'probe_lies_dead', endpoint: 'probe', times: 3 },
  ),
  released_unsent: () => {},
}

type After = 'restarted' | 'with its disk gone' | 'never comes back'

export const killFaults: Fault[] = KILLED_AT.flatMap((step) => {
  const afters: After[] =
    step in WAYS ? ['restarted'] : ['restarted', 'with its disk gone', 'never comes back']
  return afters.map((after) => ({
    name: `kill -9 at ${step}${after === 'restarted' ? '' : `, ${after}`}`,
    weight: after === 'restarted' ? 2 : 1,
    isSlow: step === 'reviving',
    inject: (harness: Harness, random: Random) => killAt(harness, random, step, after),
  }))
})

async function killAt(
  harness: Harness,
  random: Random,
  step: RefreshStep,
  after: After,
): Promise<void> {
  await untilTwoAreUp(harness)
  const incident = harness.incidents.begin(
    `kill -9 at ${step}${after === 'restarted' ? '' : `, ${after}`}`,
  )
  const way = WAYS[step]
  const led = way === undefined ? undefined : takeSubject(harness, random)
  if (led !== undefined) way?.(harness, led)
  const hit = orderKill(harness, step, led?.accountId)
  if (step === 'released_unsent' && led !== undefined)
    inBackground(harness, leadToGivingBack(harness, led))
  const end = async () => {
    const found = await hit
    if (found === undefined) {
      if (led !== undefined) harness.busy.delete(led.accountId)
      return harness.incidents.drop(incident)
    }
    const { replica, entry } = found
    incident.atMs = entry.atMs
    const generation = generationOf(harness, entry.account)
    const restarted = restart(replica, after, between(5_000, 15_000, random))
    await followUp(
      harness,
      incident,
      entry.account,
      Math.min(generation, led?.vitals.generation ?? generation),
    )
    await restarted
    return undefined
  }
  const ended = end()
  inBackground(harness, ended)
  // Waiting for a rare step must not delay the next fault.
  if (led === undefined) await hit
}

/** Kills the first replica that reaches the step, and withdraws the order from the others. */
async function orderKill(
  harness: Harness,
  step: RefreshStep,
  account: number | undefined,
): Promise<{ replica: Replica; entry: Entry } | undefined> {
  const given = account === undefined ? { step } : { step, account }
  const entry = await orderAtAll(
    harness.replicas,
    harness.journal,
    { ...given, signal: 'SIGKILL' },
    MEET_LIMIT_MS,
  )
  const replica = harness.replicas.find(({ name }) => name === entry?.replica)
  return entry === undefined || replica === undefined ? undefined : { replica, entry }
}

async function restart(replica: Replica, after: After, absentMs: number): Promise<void> {
  await replica.ended()
  if (after === 'never comes back') await delay(absentMs)
  await replica.start({ freshDisk: after !== 'restarted' })
}

/** Stops a replica between its claim and its send, and imports another pair in between. */
async function leadToGivingBack(harness: Harness, subject: SandboxAccount): Promise<void> {
  const order = { step: 'claimed', account: subject.accountId, signal: 'SIGSTOP' } as const
  const entry = await orderAtAll(harness.replicas, harness.journal, order, MEET_LIMIT_MS)
  if (entry === undefined) return
  await onboardAgain(harness, subject)
  harness.replicas.find(({ name }) => name === entry.replica)?.thaw()
}

/** Kills may take down one replica at a time, because the others must do its work. */
async function untilTwoAreUp(harness: Harness): Promise<void> {
  while (!harness.signal.aborted && harness.replicas.filter(({ isUp }) => isUp).length < 2) {
    await delay(50)
  }
}
