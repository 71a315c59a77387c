import { styleText } from 'node:util'
import { type Command, Option } from '@commander-js/extra-typings'
import type { AreaFinding } from './doctor/examine.ts'
import { JSON_FLAG } from './options.ts'
import { endProgress, printJson, showProgress } from './output.ts'

const MARKS = {
  ok: styleText('green', 'OK  '),
  warn: styleText('yellow', 'WARN'),
  fail: styleText('red', 'FAIL'),
} as const
const AREA_WIDTH = 13

/** `doctor` */
export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('looks at everything the broker needs, and says what to do')
    .addOption(new Option('--strict', 'a warning is a failure, too'))
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Settings, DATA_DIR, Redis, the database and its replication, poolers, the clock, encryption keys, redirect URIs, pace against
accounts, and whether the provider can be reached. Run it with the broker's own settings, where the broker runs. It changes
nothing, spends nothing, and sends no token anywhere.

Exit code 0 when nothing fails, 1 when something does.`,
    )
    .action(async ({ strict, json }) => {
      const { examine } = await import('./doctor/examine.ts')
      const findings: AreaFinding[] = []
      for await (const finding of examine(process.env)) {
        endProgress()
        findings.push(finding)
        if (!json) tell(finding)
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

function tell({ verdict, area, found, remedy }: AreaFinding): void {
  console.log(`${MARKS[verdict]}  ${area.padEnd(AREA_WIDTH)}  ${found}`)
  if (remedy !== undefined) console.log(`${' '.repeat(AREA_WIDTH + 8)}→ ${remedy}`)
}
