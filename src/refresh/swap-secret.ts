import type { Claim } from '../claims/claim.ts'
import type { RefusalCode } from '../provider/refusals.ts'
import type { RefreshContext } from './context.ts'

/**
 * Records that the provider refuses the client, and swaps in the next client secret if there is
 * one. To be called after the refusal was counted: the swap lets the next canary go at once,
 * because the refusal says nothing about the new secret.
 * @returns true when the secrets were swapped.
 */
export function swapSecret(
  { provider }: RefreshContext,
  { integration, secretMark = '' }: Claim,
  code: RefusalCode,
): Promise<boolean> {
  return provider.credentials.recordRefusal(integration, code, secretMark)
}
