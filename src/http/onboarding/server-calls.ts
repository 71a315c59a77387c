import type { FastifyRequest } from 'fastify'
import type { CallbackQuery } from '../../onboarding/validate-callback.ts'

/**
 * Unproven calls per minute and address. Each may cost a row in the inbox and a call to the
 * provider. A person installs one integration at a time, and the provider's servers do not install
 * more for all accounts together.
 */
export const MAX_UNPROVEN = 60

const HOOKS = ['/hooks/disconnect', '/hooks/secrets']

/**
 * Returns whether a callback says that it comes from the provider's own server. No person sees a
 * page then, and the call is not repeated.
 */
export function isServerCall(query: unknown): boolean {
  const { from_widget, from_exchange, code, referer } = query as CallbackQuery
  const isMarked = from_widget === '1' || from_exchange === '1'
  // A parameter that occurs twice is a list, which the provider never sends.
  return isMarked && typeof code === 'string' && code !== '' && typeof referer === 'string'
}

/** Returns whether the provider's server makes this call, once. */
export function isOneTimeCall({ routeOptions, query }: FastifyRequest): boolean {
  const { url = '' } = routeOptions
  return HOOKS.includes(url) || (url === '/*' && isServerCall(query))
}
