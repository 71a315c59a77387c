import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { CheckSchema } from '../accounts/schemas.ts'
import { accountPath, callBroker } from './api.ts'
import { ACCOUNT, INTEGRATION_OF_ACCOUNT, JSON_FLAG } from './options.ts'
import { mark, printable, printJson } from './output.ts'

type Check = Static<typeof CheckSchema>
type Line = Check['checks'][number]

const NAME_WIDTH = 13
const STATUS_WIDTH = 4
const MS_WIDTH = 8

/** `check`, and the same as `accounts check`. */
export function checkCommand(parent: Command): void {
  parent
    .command('check')
    .description(
      'tries its token: account, users, pipelines, leads, and whether it can be refreshed',
    )
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Spends nothing and changes nothing. Exit code 0 when the token works, 1 when not.

Example:
  $ amo-broker check kwid`,
    )
    .action(async (account, { integration, json }) => {
      const query = { integration }
      const check = await callBroker<Check>('POST', accountPath(account, 'check'), { query })
      if (!check.ok) process.exitCode = 1
      if (json) printJson(check)
      else show(check)
    })
}

function show(check: Check): void {
  console.log(`${check.domain ?? check.account_id} (${check.account_id}), ${check.api_url}`)
  for (const line of check.checks) {
    const status = String(line.status ?? '-').padStart(STATUS_WIDTH)
    const ms = `${line.ms} ms`.padStart(MS_WIDTH)
    const found = [countOf(line), line.note].filter((each) => each !== undefined).join('  ')
    const text = `${line.name.padEnd(NAME_WIDTH)} ${status} ${ms}  ${printable(found || '')}`
    console.log(`${mark(line.ok ? 'ok' : 'fail')} ${text}`.trimEnd())
    if (line.remedy !== undefined) console.log(`  → ${printable(line.remedy)}`)
  }
  console.log(check.ok ? 'The token works.' : 'Not everything works: see above.')
}

/** Of leads only the first page is asked for, and no total is told. */
function countOf({ count, more }: Line): string | undefined {
  if (count === undefined) return undefined
  return more ? `${count} and more` : String(count)
}
