import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

interface RunningBroker {
  /** Throws when the broker runs in the process of the test. */
  readonly process: ChildProcess
  hasEnded(): boolean
  /** Ends it and returns its exit code. Without a signal it ends in the quickest way. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** Runs a broker as a child process. Its output is what it writes to both streams. */
export function runAsProcess(
  env: NodeJS.ProcessEnv,
  args: string[],
  onOutput: (text: string) => void,
): RunningBroker {
  const child = spawn(process.execPath, ['src/main.ts', ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => onOutput(String(chunk)))
  }
  return {
    process: child,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    async stop(signal = 'SIGKILL') {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      const ended = once(child, 'exit')
      child.kill(signal)
      await ended
      return child.exitCode
    },
  }
}

/**
 * Runs a broker in the process of the test, which saves the processor time of loading it. It reads
 * the same settings as a process. Its output is its log. It can be stopped as SIGTERM stops it, but
 * not killed.
 */
export function runInProcess(
  env: NodeJS.ProcessEnv,
  onOutput: (text: string) => void,
): RunningBroker {
  const open = new AsyncDisposableStack()
  let hasFailed = false
  const start = async () => {
    // Loaded only here: most of the time of loading a test file would be for the broker.
    const [{ loadConfig }, { createLog, serve }] = await Promise.all([
      import('../../src/config/load-config.ts'),
      import('../../src/http/serve.ts'),
    ])
    const config = await loadConfig(env)
    await serve(config, createLog(config.logLevel, { write: onOutput }), open)
  }
  start().catch((error: unknown) => {
    hasFailed = true
    onOutput(error instanceof Error ? String(error.stack) : String(error))
  })
  return {
    get process(): ChildProcess {
      throw new Error('this broker runs in the process of the test')
    },
    hasEnded: () => hasFailed,
    async stop(signal) {
      if (signal === 'SIGKILL') throw new Error('only a broker in its own process can be killed')
      await open.disposeAsync()
      return 0
    },
  }
}
