import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from '@commander-js/extra-typings'
import type { ImportLine } from '../../onboarding/import-file.ts'
import { Failure, UsageError } from '../common/failure.ts'
import { JSON_FLAG, positiveNumber } from '../common/options.ts'
import { endProgress, mark, printable, printJson, printRemedy, showBar } from '../common/output.ts'
import { readSecret } from '../common/secret-input.ts'
import { type ImportedLine, importLine, isStored } from './import-line.ts'

/** Each line is two calls at the provider, which allows 7 per second for all services together. */
const PACE = 2

interface ImportOptions {
  integration?: string | undefined
  domain?: string | undefined
  longLived?: true | undefined
  shadow?: true | undefined
  replace?: true | undefined
  pace: number
  json?: true | undefined
}

/** Defines `accounts import`. */
export function defineImport(command: Command): void {
  command
    .argument('[file]', 'CSV or JSON file; - reads standard input')
    .option('--integration <name>', 'integration of the lines that name none')
    .option('--domain <domain>', 'import one account, such as acme.kommo.com')
    .option('--long-lived', 'the one account has a long-lived token and no refresh token')
    .option('--shadow', 'serve the tokens but do not refresh them: another service still does')
    .option('--replace', 'replace a different pair that the broker stores')
    .option('--pace <lines>', 'lines per second', positiveNumber, PACE)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The broker asks the provider which account each pair belongs to and whether it
is alive; this spends nothing. The same file can be imported again after an
interruption: a pair that is already stored stays as it is. A different pair of
a known account is refused without --replace.

Columns of a CSV file, or fields of each JSON object:
  integration, domain, access_token
  refresh_token   empty for a long-lived token
  expires_at      only if the token does not contain it
The tokens of a single account are read from a prompt, from standard input (one
per line), or from ACCESS_TOKEN and REFRESH_TOKEN.

Exit codes: 0 every pair is stored; 1 at least one is not.

Examples:
  $ amo-broker accounts import --integration kommo --domain acme.kommo.com
  $ amo-broker accounts import tokens.csv --shadow`,
    )
    .action(async (file, options) => {
      const lines = file === undefined ? [await readOne(options)] : await readMany(file)
      await importAll(lines, options)
    })
}

async function readOne({ domain, longLived }: ImportOptions): Promise<ImportLine> {
  if (domain === undefined) throw new UsageError('give a file, or --domain for one account')
  const access_token = await readSecret({ variable: 'ACCESS_TOKEN', label: 'Access token' })
  const fields = { domain, access_token }
  if (longLived) return { line: 1, fields }
  const refresh_token = await readSecret({ variable: 'REFRESH_TOKEN', label: 'Refresh token' })
  return { line: 1, fields: { ...fields, refresh_token } }
}

async function readMany(file: string): Promise<ImportLine[]> {
  const { ImportFileError, parseImportFile } = await import('../../onboarding/import-file.ts')
  const content = file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')
  try {
    return parseImportFile(content)
  } catch (error) {
    if (!(error instanceof ImportFileError)) throw error
    throw new Failure(error.message, { remedy: error.remedy })
  }
}

async function importAll(lines: ImportLine[], options: ImportOptions): Promise<void> {
  const done: ImportedLine[] = []
  for (const line of lines) {
    const beganMs = performance.now()
    const result = await importLine(line, options)
    done.push(result)
    if (!options.json) report(result)
    showBar(done.length, lines.length)
    const isLast = done.length === lines.length
    const restMs = 1000 / options.pace - (performance.now() - beganMs)
    if (!isLast && restMs > 0) await delay(restMs)
  }
  endProgress()
  if (!done.every(isStored)) process.exitCode = 1
  if (options.json) printJson(done)
  else if (lines.length > 1) console.log(summary(done))
}

function report(done: ImportedLine): void {
  const { line, domain, integration, result, account_id, problem, remedy } = done
  const sign = mark(isStored(done) ? (problem === undefined ? 'ok' : 'warn') : 'fail')
  const id = account_id === undefined ? '' : `, account ${account_id}`
  const why = problem === undefined ? '' : `: ${problem}`
  endProgress()
  const text = `line ${line}  ${domain || '-'} (${integration || '-'})  ${result}${id}${why}`
  console.log(`${sign} ${printable(text)}`)
  if (remedy !== undefined) printRemedy(remedy)
}

function summary(done: ImportedLine[]): string {
  const results = ['imported', 'replaced', 'already there', 'not replaced', 'failed'] as const
  return results
    .map((result) => [result, done.filter((each) => each.result === result).length] as const)
    .filter(([, lines]) => lines > 0)
    .map(([result, lines]) => `${lines} ${result}`)
    .join(', ')
}
