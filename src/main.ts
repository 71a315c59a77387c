import { cacheCompiledCode } from './lib/compile-cache.ts'

// Before anything else is imported.
cacheCompiledCode()
const { runBroker } = await import('./run-broker.ts')
await runBroker()
