import { subscribe } from 'node:diagnostics_channel'
import { writeSync } from 'node:fs'
import { FAILPOINT_CHANNEL, type FailpointMessage } from '../../src/lib/failpoint.ts'
import { JOURNAL_FD, type JournalLine, type Order, writeLine } from './orders.ts'

// Loaded into each replica before the broker. Reports every step of a refresh, and kills or stops
// the process in the tick in which the ordered step is reached.

const skewMs = Number(process.env.TORTURE_SKEW_MS ?? 0)
if (skewMs !== 0) skewClock(skewMs)

let orders: Order[] = []
const done = new Set<string>()

process.on('message', (given: Order[]) => {
  orders = given.filter(({ id }) => !done.has(id))
})
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
process.channel?.unref()

subscribe(FAILPOINT_CHANNEL, (message) => {
  const { step, account } = message as FailpointMessage
  if (account === undefined) return
  const line = {
    step,
    account: account.accountId,
    atMs: performance.timeOrigin + performance.now(),
    order: undefined,
  }
  const order = takeOrder(line)
  writeSync(JOURNAL_FD, writeLine({ ...line, order }))
  if (order !== undefined) process.kill(process.pid, order.signal)
})

function takeOrder(line: JournalLine): Order | undefined {
  const fitting = orders.filter(
    ({ step, account }) => step === line.step && (account ?? line.account) === line.account,
  )
  const order = fitting.find(({ skip = 0 }) => skip === 0)
  for (const each of fitting) each.skip = Math.max(0, (each.skip ?? 0) - 1)
  orders = orders.filter((each) => each !== order)
  if (order !== undefined) done.add(order.id)
  return order
}

/** Shifts the time of day of the whole process. The monotonic clock stays correct. */
function skewClock(ms: number): void {
  const TrueDate = Date
  const trueNow = Date.now
  globalThis.Date = new Proxy(TrueDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [trueNow() + ms] : args, newTarget),
    get: (target, name) =>
      name === 'now' ? () => trueNow() + ms : Reflect.get(target, name, target),
  })
}
