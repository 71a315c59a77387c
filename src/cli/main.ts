#!/usr/bin/env node
import { cacheCompiledCode } from '../lib/compile-cache.ts'

// Before anything else is imported.
cacheCompiledCode()

// `amo-broker … | head` closes our output early, which is not a failure.
process.stdout.on('error', (error: { code?: string }) => {
  if (error.code === 'EPIPE') process.exit()
  throw error
})
const { runCommandLine } = await import('./program.ts')
process.exitCode = await runCommandLine(process.argv.slice(2))
