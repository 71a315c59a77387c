import type { Call } from './call.ts'
import { cut, drop, hold, hungUp } from './call.ts'
import type { FaultSpec } from './faults.ts'
import type { Answer, Refusal } from './refusals.ts'
import { hinted, nginx, plainProblem, unauthorized } from './refusals.ts'

/**
 * The effect of a fault: undefined lets the request go on, a response is written as it is, and
 * `gone` means that the request has ended.
 */
export type FaultEffect = Answer | Refusal | 'gone' | undefined

const DEFAULT_DELAY_MS = 1_000

export function dropped(call: Call, spec: FaultSpec): FaultEffect {
  drop(call, spec.how)
  return 'gone'
}

export async function cutInHalf(call: Call): Promise<FaultEffect> {
  if (call.answer !== undefined) await cut(call, call.answer)
  return 'gone'
}

export async function processLate(call: Call, spec: FaultSpec): Promise<FaultEffect> {
  call.isMute = true
  if ((spec.after ?? 'hang_up') === 'hang_up') await hungUp(call)
  return wait(call, spec)
}

export async function wait(call: Call, spec: FaultSpec): Promise<FaultEffect> {
  await call.world.sleep(spec.delay_ms ?? DEFAULT_DELAY_MS)
  if (!call.world.closing.aborted) return undefined
  drop(call, 'close')
  return 'gone'
}

export async function staySilent(call: Call): Promise<FaultEffect> {
  await hold(call)
  return 'gone'
}

export function badGateway(_call: Call, spec: FaultSpec): FaultEffect {
  return nginx(spec.status === 504 ? 504 : 502)
}

export function serverError(_call: Call, spec: FaultSpec): FaultEffect {
  const answer = plainProblem(spec.status ?? 500, 'Internal Server Error', 'Try again later.')
  return { ...answer, outcome: 'server_error', provesUnspent: false }
}

export function revoked(call: Call): FaultEffect {
  if (call.endpoint !== 'token') return unauthorized('said_revoked')
  const isCode = call.entry?.kind === 'code'
  const hint = isCode ? 'Authorization code has been revoked' : 'Token has been revoked'
  return hinted(platformOf(call), isCode ? 400 : 401, hint, 'said_revoked', false)
}

export function expired(call: Call): FaultEffect {
  const isCode = call.entry?.kind === 'code'
  const hint = isCode ? 'Authorization code has expired' : 'Token has expired'
  return hinted(platformOf(call), isCode ? 400 : 401, hint, 'said_expired', false)
}

export function compressed(call: Call, { content_encoding }: FaultSpec): FaultEffect {
  return call.answer && { ...call.answer, coding: content_encoding ?? 'gzip' }
}

export function keepOldAccess(call: Call): FaultEffect {
  call.keepsOldAccess = true
  return undefined
}

export function lieAlive(call: Call): FaultEffect {
  call.isSaidAlive = true
  return undefined
}

export function platformOf(call: Call) {
  const hostPlatform = 'platform' in call.host ? call.host.platform : undefined
  return call.account?.platform ?? hostPlatform ?? 'amocrm'
}
