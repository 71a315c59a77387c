import { cacheCompiledCode } from './lib/compile-cache.ts'

// Everything else is imported after this call, so that it comes from the cache.
cacheCompiledCode()
const { runBroker } = await import('./http/run-broker.ts')
await runBroker()
