import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from '@commander-js/extra-typings'
import { type Account, findAccounts, isNamed } from './account.ts'
import { callBroker } from './api.ts'
import { Failure, UsageError } from './failure.ts'
import { type ImportLine, parseImportFile } from './import-file.ts'
import { JSON_FLAG, positiveNumber } from './options.ts'
import { endProgress, mark, printable, printJson, showBar } from './output.ts'
import { readSecret } from './secret-input.ts'

/** Each line is two calls at the provider, whose 7 a second the company's services share. */
const PACE = 2
/** Where the broker says "later". */
const TRIES = 3
const LATER_SECONDS = 5

export interface ImportOptions {
  integration?: string | undefined
  domain?: string | undefined
  longLived?: true | undefined
  shadow?: true | undefined
  replace?: true | undefined
  pace: number
  json?: true | undefined
}

interface Imported {
  line: number
  integration: string
  domain: string
  result: 'imported' | 'replaced' | 'already there' | 'failed'
  account_id?: number
  code?: string
  problem?: string
  remedy?: string
}

/** `accounts import` */
export function importCommand(accounts: Command): void {
  accounts
    .command('import')
    .description('takes over token pairs that exist, or long-lived tokens: one, or a file of many')
    .argument('[file]', 'CSV or JSON; -: standard input. None: one account, by --domain')
    .option('--integration <name>', 'of each account that names none')
    .option('--domain <domain>', 'of the one account, such as kwid.kommo.com')
    .option('--long-lived', 'the one account has a long-lived token, and no refresh token')
    .option('--shadow', 'serves the pairs and does not rotate them: another service still does')
    .option('--replace', 'also where the broker has another pair of the account')
    .option('--pace <lines>', 'a second', positiveNumber, PACE)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The provider is asked whose each pair is and whether it lives; nothing is spent. A pair that the broker has is left alone,
so that the same file may be given again after an interruption: what is there already is said.

The columns, or the fields of each JSON object: integration, domain, access_token, refresh_token (none: a long-lived token),
expires_at (where the token itself does not say it). The tokens of one account are asked for, or read from standard input, a
line each, or from ACCESS_TOKEN and REFRESH_TOKEN.

Examples:
  $ amo-broker accounts import --integration kommo --domain kwid.kommo.com
  $ amo-broker accounts import tokens.csv --shadow`,
    )
    .action(async (file, options) => {
      const lines = file === undefined ? [await readOne(options)] : await readMany(file)
      await importAll(lines, options)
    })
}

async function readOne({ domain, longLived }: ImportOptions): Promise<ImportLine> {
  if (domain === undefined) throw new UsageError('give a file, or --domain of one account')
  const access_token = await readSecret({ variable: 'ACCESS_TOKEN', label: 'Access token' })
  const fields = { domain, access_token }
  if (longLived) return { line: 1, fields }
  const refresh_token = await readSecret({ variable: 'REFRESH_TOKEN', label: 'Refresh token' })
  return { line: 1, fields: { ...fields, refresh_token } }
}

async function readMany(file: string): Promise<ImportLine[]> {
  if (file === '-') return parseImportFile(await text(process.stdin))
  return parseImportFile(await readFile(file, 'utf8'))
}

async function importAll(lines: ImportLine[], options: ImportOptions): Promise<void> {
  const known = await findAccounts()
  const done: Imported[] = []
  for (const line of lines) {
    const beganMs = performance.now()
    const result = await importLine(line, known, options)
    done.push(result)
    if (!options.json) tell(result)
    showBar(done.length, lines.length)
    const isLast = done.length === lines.length
    const restMs = 1000 / options.pace - (performance.now() - beganMs)
    if (!isLast && result.result !== 'already there' && restMs > 0) await delay(restMs)
  }
  endProgress()
  if (done.some(({ result }) => result === 'failed')) process.exitCode = 1
  if (options.json) printJson(done)
  else if (lines.length > 1) console.log(summary(done))
}

async function importLine(
  { line, fields }: ImportLine,
  known: Account[],
  { integration: byDefault, shadow, replace }: ImportOptions,
): Promise<Imported> {
  const { integration = byDefault ?? '', domain = '' } = fields
  const at = { line, integration, domain }
  const missing = ['integration', 'domain', 'access_token'].find(
    (name) =>
      ({ ...fields, integration })[name] === undefined || { ...fields, integration }[name] === '',
  )
  if (missing !== undefined) {
    const problem = `${missing} is missing`
    return { ...at, result: 'failed', code: 'bad_request', problem, remedy: 'Add it to the line.' }
  }
  const there = known.find((account) => isNamed(account, integration, domain))
  if (there !== undefined && !replace) return alreadyThere(at, there)
  try {
    const account = await send({ ...fields, integration, ...(shadow ? { shadow } : {}) }, there)
    const isSame = there?.generation === account.generation
    const result = isSame ? 'already there' : there === undefined ? 'imported' : 'replaced'
    return { ...at, result, account_id: account.account_id }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const { code, remedy } = error.extras
    // The broker itself cannot be reached: the rest of the file would say the same.
    if (code === undefined || code === 'unauthorized' || code === 'forbidden') throw error
    const problem = error.message
    return { ...at, result: 'failed', code, problem, ...(remedy === undefined ? {} : { remedy }) }
  }
}

function alreadyThere(
  at: Pick<Imported, 'line' | 'integration' | 'domain'>,
  account: Account,
): Imported {
  const { account_id, status, last_error } = account
  const there = { ...at, result: 'already there', account_id } as const
  if (status === 'active') return there
  return {
    ...there,
    code: status,
    problem: `it is ${status}${last_error === null ? '' : `: ${last_error.problem}`}`,
    remedy: 'If this pair is the newer one, import it with --replace.',
  }
}

/** A brown-out of the provider is waited for. */
async function send(body: object, there: Account | undefined): Promise<Account> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await callBroker<Account>('POST', '/accounts/import', {
        body,
        headers: there === undefined ? {} : { 'if-match': `"${there.generation}"` },
      })
    } catch (error) {
      const isLater = error instanceof Failure && error.extras.retryAfterSeconds !== undefined
      if (!isLater || tried === TRIES) throw error
      await delay((error.extras.retryAfterSeconds ?? LATER_SECONDS) * 1000)
    }
  }
}

function tell({ line, domain, integration, result, account_id, problem, remedy }: Imported): void {
  const sign = mark(result === 'failed' ? 'fail' : problem === undefined ? 'ok' : 'warn')
  const id = account_id === undefined ? '' : `, account ${account_id}`
  const why = problem === undefined ? '' : `: ${problem}`
  endProgress()
  const text = `line ${line}  ${domain || '-'} (${integration || '-'})  ${result}${id}${why}`
  console.log(`${sign} ${printable(text)}`)
  if (remedy !== undefined) console.log(`  → ${printable(remedy)}`)
}

function summary(done: Imported[]): string {
  const results = ['imported', 'replaced', 'already there', 'failed'] as const
  return results
    .map((result) => [result, done.filter((each) => each.result === result).length] as const)
    .filter(([, lines]) => lines > 0)
    .map(([result, lines]) => `${lines} ${result}`)
    .join(', ')
}
