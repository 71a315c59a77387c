import { setTimeout as delay } from 'node:timers/promises'
import { STEPS, type Step } from '../../../src/refresh/steps.ts'
import type { FaultSpec } from '../../../src/sandbox/faults.ts'
import { onboard, type Subject } from '../../support/subjects.ts'
import type { Entry } from '../journal.ts'
import { orderAtAll } from '../order-at-all.ts'
import type { Replica } from '../replica.ts'
import { inBackground, type Stage } from '../stage.ts'
import { between, type Fault, followUp, generationOf, type Random, takeSubject } from './fault.ts'

/** Every step is killed at. */
export const KILLED_AT: readonly Step[] = STEPS

/** A step that many refreshes a second come to is met at once; a rare one when its account is due, or probed again. */
const MEET_LIMIT_MS = 150_000

type Way = (stage: Stage, subject: Subject) => void

const strike =
  (...specs: Omit<FaultSpec, 'account'>[]): Way =>
  ({ sandbox }, { accountId }) =>
    sandbox.world.faults.add(specs.map((spec) => ({ ...spec, account: accountId })))

const unclear = strike({ fault: 'drop_before_spend', endpoint: 'token', times: 1 })
const lost = strike({ fault: 'bad_gateway_after_spend', endpoint: 'token', times: 1 })

/** How a refresh is led to a step that it does not come to by itself. */
const WAYS: Partial<Record<Step, Way>> = {
  taken_over: unclear,
  probing: unclear,
  probed: unclear,
  handed_over: unclear,
  held_back: strike({ fault: 'too_many_requests', endpoint: 'token', times: 1 }),
  moved: ({ sandbox }, { account }) =>
    sandbox.world.directory.rename(account, `${account.subdomain}m`, '404'),
  condemning: lost,
  condemned: lost,
  // Condemned wrongly: said to be revoked, and to be dead when asked. Asked again later, it lives.
  reviving: strike(
    { fault: 'revoked', endpoint: 'token', times: 1 },
    { fault: 'probe_lies_dead', endpoint: 'probe', times: 3 },
  ),
  given_back: () => {},
}

type After = 'restarted' | 'with its disk gone' | 'never comes back'

export const killFaults: Fault[] = KILLED_AT.flatMap((step) => {
  const afters: After[] =
    step in WAYS ? ['restarted'] : ['restarted', 'with its disk gone', 'never comes back']
  return afters.map((after) => ({
    name: `kill -9 at ${step}${after === 'restarted' ? '' : `, ${after}`}`,
    weight: after === 'restarted' ? 2 : 1,
    isSlow: step === 'reviving',
    inject: (stage: Stage, random: Random) => killAt(stage, random, step, after),
  }))
})

async function killAt(stage: Stage, random: Random, step: Step, after: After): Promise<void> {
  await untilTwoAreUp(stage)
  const incident = stage.incidents.begin(
    `kill -9 at ${step}${after === 'restarted' ? '' : `, ${after}`}`,
  )
  const way = WAYS[step]
  const led = way === undefined ? undefined : takeSubject(stage, random)
  if (led !== undefined) way?.(stage, led)
  const hit = orderKill(stage, step, led?.accountId)
  if (step === 'given_back' && led !== undefined) inBackground(stage, leadToGivingBack(stage, led))
  const end = async () => {
    const found = await hit
    if (found === undefined) {
      if (led !== undefined) stage.busy.delete(led.accountId)
      return stage.incidents.drop(incident)
    }
    const { replica, entry } = found
    incident.atMs = entry.atMs
    const generation = generationOf(stage, entry.account)
    const restarted = restart(replica, after, between(5_000, 15_000, random))
    await followUp(
      stage,
      incident,
      entry.account,
      Math.min(generation, led?.vitals.generation ?? generation),
    )
    await restarted
    return undefined
  }
  const ended = end()
  inBackground(stage, ended)
  // A step that has to be led to is waited for beside the others.
  if (led === undefined) await hit
}

/** Whichever replica comes to it first; the others are told to forget it. */
async function orderKill(
  stage: Stage,
  step: Step,
  account: number | undefined,
): Promise<{ replica: Replica; entry: Entry } | undefined> {
  const given = account === undefined ? { step } : { step, account }
  const entry = await orderAtAll(
    stage.replicas,
    stage.journal,
    { ...given, signal: 'SIGKILL' },
    MEET_LIMIT_MS,
  )
  const replica = stage.replicas.find(({ name }) => name === entry?.replica)
  return entry === undefined || replica === undefined ? undefined : { replica, entry }
}

async function restart(replica: Replica, after: After, absentMs: number): Promise<void> {
  await replica.ended()
  if (after === 'never comes back') await delay(absentMs)
  await replica.start({ freshDisk: after !== 'restarted' })
}

/** Some replica is stopped between its claim and its send, and somebody imports another pair meanwhile. */
async function leadToGivingBack(stage: Stage, subject: Subject): Promise<void> {
  const order = { step: 'claimed', account: subject.accountId, signal: 'SIGSTOP' } as const
  const entry = await orderAtAll(stage.replicas, stage.journal, order, MEET_LIMIT_MS)
  if (entry === undefined) return
  await onboard(stage, subject)
  stage.replicas.find(({ name }) => name === entry.replica)?.thaw()
}

/** One replica may be down at a time by a kill: the others have to do its work. */
async function untilTwoAreUp(stage: Stage): Promise<void> {
  while (!stage.signal.aborted && stage.replicas.filter(({ isUp }) => isUp).length < 2) {
    await delay(50)
  }
}
