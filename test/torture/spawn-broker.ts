import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { JOURNAL_FD, type JournalLine, readLine } from './orders.ts'

const ROOT = join(import.meta.dirname, '../..')
const PRELOAD = join(import.meta.dirname, 'preload.ts')

export interface BrokerProgram {
  /** The folder of another version of the broker. Undefined: this one. */
  program?: string | undefined
}

/** Starts a broker that takes orders over IPC and writes its journal to JOURNAL_FD. */
export function spawnBroker(
  program: string | undefined,
  env: Record<string, string>,
): ChildProcess {
  return spawn(process.execPath, ['--import', PRELOAD, 'src/main.ts'], {
    cwd: program ?? ROOT,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
    // The harness handles Ctrl-C and ends its replicas itself.
    detached: true,
  })
}

/** Calls `receive` for each line that the broker writes to its journal. */
export function onJournalLine(child: ChildProcess, receive: (line: JournalLine) => void): void {
  const lines = child.stdio[JOURNAL_FD]
  if (!(lines instanceof Readable)) throw new Error('a replica without a journal')
  createInterface({ input: lines }).on('line', (text) => {
    const line = readLine(text)
    if (line !== undefined) receive(line)
  })
}
