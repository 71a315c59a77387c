import type { CallbackQuery } from './judge.ts'

/** Whether the provider's own server calls, as it says itself: nobody waits for a page, and it is not made again. */
export function isServerCall(query: unknown): boolean {
  const { from_widget, from_exchange, code, referer } = query as CallbackQuery
  const isMarked = from_widget === '1' || from_exchange === '1'
  // A parameter that came twice is a list, and no call of the provider's.
  return isMarked && typeof code === 'string' && code !== '' && typeof referer === 'string'
}

/** Whether a callback carries a state at all; what it is worth is judged later, and costs the database nothing. */
export function hasProof({ state }: CallbackQuery): boolean {
  return state !== undefined && state.split('.').length === 3
}
