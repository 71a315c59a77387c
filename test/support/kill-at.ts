import { subscribe } from 'node:diagnostics_channel'
import { FAILPOINT_CHANNEL } from '../../src/lib/failpoint.ts'

// Loaded into a broker before it starts. Kills the broker in the tick in which it reaches the step
// KILL_AT, at the KILL_PASSES-th time (default: the first).

let passes = Number(process.env.KILL_PASSES ?? 1)

subscribe(FAILPOINT_CHANNEL, (message) => {
  const { step } = message as { step: string }
  if (step !== process.env.KILL_AT) return
  passes -= 1
  if (passes === 0) process.kill(process.pid, 'SIGKILL')
})
