import { styleText } from 'node:util'
import type { Command } from '@commander-js/extra-typings'
import type { AreaFinding } from '../../doctor/diagnose.ts'
import { JSON_FLAG } from '../common/options.ts'
import { endProgress, printJson, printRemedy, showProgress, wrap } from '../common/output.ts'

const MARKS = {
  ok: styleText('green', 'OK  '),
  warn: styleText('yellow', 'WARN'),
  fail: styleText('red', 'FAIL'),
} as const
const MARK_WIDTH = 4
const AREA_WIDTH = 13
const TEXT_INDENT = MARK_WIDTH + 2 + AREA_WIDTH + 2

/** Defines `doctor`. */
export function defineDoctor(command: Command): void {
  command
    .option('--strict', 'treat warnings as failures')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Examines the settings, DATA_DIR, Redis, the database and its replication,
poolers, the clocks, encryption keys, redirect URIs, the load, and whether the
provider can be reached. Run it where the broker runs, with the broker's own
settings. It changes nothing, spends nothing and sends no token anywhere.

Exit codes: 0 nothing fails; 1 something does.

Example:
  $ amo-broker doctor --strict`,
    )
    .action(async ({ strict, json }) => {
      const { diagnose } = await import('../../doctor/diagnose.ts')
      const findings: AreaFinding[] = []
      for await (const finding of diagnose(process.env)) {
        endProgress()
        findings.push(finding)
        if (!json) show(finding)
        showProgress('…')
      }
      endProgress()
      const isWell = findings.every(({ verdict }) =>
        strict ? verdict === 'ok' : verdict !== 'fail',
      )
      if (json) printJson({ ok: isWell, findings })
      if (!isWell) process.exitCode = 1
    })
}

function show({ verdict, area, found, remedy }: AreaFinding): void {
  console.log(`${MARKS[verdict]}  ${area.padEnd(AREA_WIDTH)}  ${wrap(found, TEXT_INDENT)}`)
  if (remedy !== undefined) printRemedy(remedy, ' '.repeat(TEXT_INDENT))
}
