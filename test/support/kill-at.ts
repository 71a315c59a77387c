import { subscribe } from 'node:diagnostics_channel'

// Loaded into a broker before it starts: it dies in the very tick in which its onboarding comes to the step KILL_AT.

subscribe('amo-token-broker:onboarding', (message) => {
  const { step } = message as { step: string }
  if (step === process.env.KILL_AT) process.kill(process.pid, 'SIGKILL')
})
