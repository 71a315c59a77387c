import { cacheCompiledCode } from './lib/compile-cache.ts'

// The rest is imported later, so that it comes from the cache. Hence run-broker.ts is a file of its
// own.
cacheCompiledCode()
const { runBroker } = await import('./run-broker.ts')
await runBroker()
