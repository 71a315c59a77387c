import t from 'tap'
import { report } from './torture/report.ts'
import { runMix } from './torture/run.ts'

t.test('torture, short form: nothing is lost, sent again, or condemned', async (t) => {
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
  t.same(result.verdict.violations, [], text)
  t.ok(result.verdict.refreshes > 60, 'accounts were refreshed')
  t.ok(result.stage.incidents.all.length > 10, 'while faults were injected')
})
