import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { ENCRYPTION_KEYS, OPERATOR_KEY } from './broker.ts'

export interface CommandResult {
  code: number | null
  out: string
  err: string
}

/** Runs an operator's command of `src/cli/` to its end, as npm would. */
export async function runCli(
  name: string,
  args: string[],
  env: Record<string, string>,
): Promise<CommandResult> {
  const child = spawn(process.execPath, [`src/cli/${name}.ts`, ...args], {
    env: { PATH: process.env.PATH, ENCRYPTION_KEYS, OPERATOR_KEY, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  return { code: child.exitCode, out, err }
}
