import type { CallAnswer, CallRequest } from '../../../src/provider/call.ts'
import type { OAuthClient } from '../../../src/provider/profiles.ts'
import { actorHere } from './actor.ts'

export * from '../../../src/provider/call.ts'

/** In the place of the engine's HTTP call, and with its promises: what is written goes to the provider model. */
export function call(_client: OAuthClient, request: CallRequest): Promise<CallAnswer> {
  const actor = actorHere()
  return actor.callOut(actor, request)
}
