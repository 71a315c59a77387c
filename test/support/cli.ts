import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

export interface CommandResult {
  code: number | null
  out: string
  err: string
}

/** Runs `amo-broker` to its end, with nothing but this environment, and `input` on its standard input. */
export async function runCli(
  args: string[],
  env: Record<string, string>,
  input?: string,
): Promise<CommandResult> {
  const child = spawn(process.execPath, ['src/cli/main.ts', ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin.end(input)
  const [out, err] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  return { code: child.exitCode, out, err }
}
