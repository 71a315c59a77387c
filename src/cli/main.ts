#!/usr/bin/env node
import { tellFailure } from './failure.ts'
import { buildProgram } from './program.ts'

// `amo-broker … | head` closes our output early: that is no failure.
process.stdout.on('error', (error: { code?: string }) => {
  if (error.code === 'EPIPE') process.exit()
  throw error
})
try {
  readEnvFile()
  await buildProgram().parseAsync()
} catch (error) {
  process.exitCode = tellFailure(error)
}

/** `.env` of the working directory, as `npm start` has it; what the environment says itself wins. */
function readEnvFile(): void {
  try {
    process.loadEnvFile()
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error
  }
}
