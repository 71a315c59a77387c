import t from 'tap'
import { report } from './torture/report.ts'
import { runMix } from './torture/run.ts'

t.test(
  'torture, short form: no pair is lost, no token sent again, no account wrongly reauth_required',
  async (t) => {
    const lines: string[] = []
    const result = await runMix(t, {
      seed: 20261122,
      minutes: 0.7,
      isShort: true,
      haste: 3,
      accounts: 60,
      lifetime: 20,
      callers: 12,
      signal: new AbortController().signal,
      log: (line) => lines.push(line),
    })
    const text = `${lines.join('\n')}\n${report(result)}`
    t.same(result.findings.violations, [], text)
    t.ok(result.findings.refreshes > 60, 'accounts were refreshed')
    t.ok(result.harness.incidents.all.length > 10, 'while faults were injected')
  },
)
