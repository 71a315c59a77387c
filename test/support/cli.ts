import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

/** The CLI runs in another directory, because it would read the developer's `.env` here. */
export const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')

export interface CommandResult {
  code: number | null
  out: string
  err: string
}

/** Runs `amo-broker` to its end, with only this environment, and `input` on its standard input. */
export async function runCli(
  args: string[],
  env: Record<string, string>,
  input?: string,
): Promise<CommandResult> {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: tmpdir(),
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
