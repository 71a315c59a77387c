#!/usr/bin/env -S node --env-file-if-exists=.env
import { tellFailure } from './failure.ts'
import { buildProgram } from './program.ts'

// `amo-broker … | head` closes our output early: that is no failure.
process.stdout.on('error', (error: { code?: string }) => {
  if (error.code === 'EPIPE') process.exit()
  throw error
})
try {
  await buildProgram().parseAsync()
} catch (error) {
  process.exitCode = tellFailure(error)
}
