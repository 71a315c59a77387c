import type { Call } from './call.ts'
import { write } from './call.ts'
import type { FaultEffect } from './fault-effects.ts'
import type { FaultPoint } from './fault-table.ts'
import { faultTable } from './fault-table.ts'
import type { LimitResult } from './limits.ts'
import type { Answer, Refusal } from './refusals.ts'
import { nginx, tooManyRequests } from './refusals.ts'

/**
 * Applies the faults of a point.
 *
 * @returns true when one of them has ended the request: nothing more may be written
 */
export async function faultsAt(point: FaultPoint, call: Call): Promise<boolean> {
  const { world, account, host } = call
  if (world.faults.list().length === 0) return false
  const specs = world.faults.take(point, {
    endpoint: call.endpoint,
    clientId: call.clientId,
    isAccountHost: host.kind === 'account',
    isAccount: (ref) =>
      account !== undefined && world.directory.findAccount(ref, account.platform) === account,
  })
  for (const spec of specs) {
    world.books.count('faultsFired', account?.key)
    if (call.entry !== undefined) call.entry.fault ??= spec.fault
    const effect = await faultTable.get(spec.fault)?.apply(call, spec)
    if (await isEnded(call, point, effect)) return true
  }
  return false
}

/** Writes a refusal and records it in the books. */
export async function refuse(call: Call, refusal: Refusal): Promise<void> {
  settle(call, refusal.outcome)
  const { credential, endpoint, entry } = call
  const isProven = refusal.provesUnspent && credential?.state === 'live' && endpoint === 'token'
  // Before the write, because the client may return before this process learns that the write is
  // done.
  const isHeard = !call.isMute && !call.reply.raw.destroyed
  if (isProven && isHeard && entry !== undefined) credential.doubtfulSends.delete(entry.seq)
  await write(call, refusal)
}

/** Writes a success, unless a fault changes it or ends the request. */
export async function succeed(call: Call, answer: Answer): Promise<void> {
  call.answer = answer
  if (await faultsAt('answer', call)) return
  await write(call, call.answer)
}

/**
 * Returns the refusal for the result of the limiter (docs/provider.md, part 11). Undefined: the
 * call passed.
 */
export function limitRefusal(result: LimitResult): Refusal | undefined {
  if (result === 'passed') return undefined
  return result === 'blocked' ? nginx(403) : tooManyRequests()
}

/** Records the outcome of a request. */
export function settle(call: Call, outcome: string): void {
  if (call.entry === undefined) return
  call.entry.outcome = outcome
  call.entry.at = call.world.settings.clock()
}

async function isEnded(call: Call, point: FaultPoint, effect: FaultEffect): Promise<boolean> {
  if (effect === undefined) return false
  if (effect === 'gone') {
    if (call.entry?.outcome === 'pending') settle(call, 'not_processed')
    return true
  }
  if (point === 'answer') {
    call.answer = effect
    return false
  }
  if (point === 'after_spend' || !('outcome' in effect)) await write(call, effect)
  else await refuse(call, effect)
  return true
}
