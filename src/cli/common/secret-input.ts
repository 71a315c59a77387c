import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { Failure } from './failure.ts'

export interface SecretRequest {
  /** The environment variable that may hold it. */
  variable: string
  /** The prompt, without a colon. */
  label: string
}

let lines: Promise<string[]> | undefined

/**
 * Reads a secret from the environment, from the next line of standard input, or from a prompt that
 * does not echo. Throws `Failure` if there is none.
 */
export async function readSecret({ variable, label }: SecretRequest): Promise<string> {
  const secret =
    process.env[variable] || (process.stdin.isTTY ? await ask(label) : await nextLine())
  if (secret) return secret
  throw new Failure(`${label}: nothing given`, {
    remedy: `Type it when asked, pipe it to standard input, or set ${variable}.`,
  })
}

/** Asks the operator to type `expected`. Throws `Failure` if they do not, or without a terminal. */
export async function confirm(question: string, expected: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new Failure('this needs a confirmation, and there is no terminal: add --yes')
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`${question} `)
  terminal.close()
  if (answer.trim() !== expected) throw new Failure('not confirmed, nothing was changed')
}

async function nextLine(): Promise<string> {
  lines ??= text(process.stdin).then((all) => all.split('\n').map((line) => line.trim()))
  return (await lines).shift() ?? ''
}

async function ask(label: string): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true })
  const interrupted = new Promise<never>((_, reject) => {
    terminal.once('SIGINT', () => reject(new Failure('interrupted, nothing was changed')))
  })
  process.stderr.write(`${label}: `)
  try {
    return (await Promise.race([terminal.question(''), interrupted])).trim()
  } finally {
    terminal.close()
    process.stderr.write('\n')
  }
}
