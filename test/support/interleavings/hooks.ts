import { registerHooks } from 'node:module'

const ENGINE = new URL('../../../src/refresh/', import.meta.url).href
const PROVIDER = new URL('../../../src/provider/', import.meta.url).href
const CALL = `${PROVIDER}call.ts`
const WITHIN = new URL('../../../src/within.ts', import.meta.url).href
const REPEATED = new URL('../../../src/repeated.ts', import.meta.url).href

/**
 * Import before the engine. Where the engine leaves the process, or waits, the schedule takes over: its HTTP call is
 * answered by the provider model, its timers and its scheduled work run when the schedule says so. All else is the
 * engine as it is.
 */
registerHooks({
  resolve(specifier, context, next) {
    const from = context.parentURL ?? ''
    const isEngine = from.startsWith(ENGINE)
    if (isEngine && specifier === 'node:timers/promises') return take('./virtual-timers.ts')
    const resolved = next(specifier, context)
    if (resolved.url === CALL && (isEngine || from.startsWith(PROVIDER)))
      return take('./provider-call.ts')
    if (resolved.url === WITHIN && isEngine) return take('./virtual-timers.ts')
    if (resolved.url === REPEATED && isEngine) return take('./manual-repeated.ts')
    return resolved
  },
})

function take(file: string) {
  return {
    url: new URL(file, import.meta.url).href,
    format: 'module-typescript',
    shortCircuit: true,
  }
}
