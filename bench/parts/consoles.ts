import { setTimeout as delay } from 'node:timers/promises'
import { type Figure, intervalOf } from '../figures.ts'
import { startBroker } from '../servers.ts'
import { makeWorld, pathsOf, sibling, signIn } from '../world.ts'
import type { Part } from './part.ts'

const ACCOUNTS = 100
const CONSOLES = 10
/** An open page asks for changes at this interval (src/http/console/live.ts). */
const POLL_MS = 5_000
const PAGES = ['/console', '/console/accounts']
const PAIRS = 24
const SECONDS = 5
const MAX_LOSS_PERCENT = 2
const PERCENT = 100

/** Loads hits with and without open consoles, in turn, on the same broker. */
export const consoles: Part = {
  name: 'consoles',
  title: `Hits at full load while ${CONSOLES} consoles are open, ${PAIRS} pairs`,
  async run(scope, bench) {
    const world = await makeWorld(scope, { ...bench, accounts: ACCOUNTS })
    const { origin } = await startBroker(scope, world)
    const authorization = await sibling(world, origin)
    const aim = { origin, paths: pathsOf(world.subjects), authorization }
    const { connections, loader, say } = bench
    const measure = async () =>
      (await loader.run(aim, { connections, seconds: SECONDS })).requestsPerSecond
    const cookies: string[] = []
    for (let nth = 0; nth < CONSOLES; nth += 1) {
      cookies.push(await signIn(origin, world.operatorKey))
    }
    await measure()
    const lossPercent: number[] = []
    const statuses: Record<number, number> = {}
    for (let pair = 0; pair < PAIRS; pair += 1) {
      const withConsoles = async () => {
        const open = new AbortController()
        const polling = cookies.map((cookie, nth) =>
          poll(origin, cookie, (nth * POLL_MS) / CONSOLES, open.signal, statuses),
        )
        const value = await measure()
        open.abort()
        await Promise.all(polling)
        return value
      }
      // The order changes, so that a drift of the machine affects both alike.
      const isFirst = pair % 2 === 0
      const before = isFirst ? await measure() : await withConsoles()
      const after = isFirst ? await withConsoles() : await measure()
      const [without, beside] = isFirst ? [before, after] : [after, before]
      lossPercent.push((1 - beside / without) * PERCENT)
      say(
        `  pair ${pair + 1}: ${without.toFixed(0)}/s, with consoles ${beside.toFixed(0)}/s, ` +
          `loss ${lossPercent.at(-1)?.toFixed(1)} %`,
      )
    }
    const { mean, low, high } = intervalOf(lossPercent)
    const figures: Figure[] = [
      {
        name: 'loss of hits, mean of all pairs',
        values: [mean],
        unit: ' %',
        target: { is: 'at most', value: MAX_LOSS_PERCENT },
      },
      { name: 'its 95 % interval, lower end', values: [low], unit: ' %' },
      { name: 'its 95 % interval, upper end', values: [high], unit: ' %' },
      { name: 'loss of each pair', values: lossPercent, unit: ' %' },
    ]
    for (const [status, times] of Object.entries(statuses)) {
      figures.push({ name: `polls answered with ${status}`, values: [times] })
    }
    return figures
  },
}

/** Polls the pages as an open browser does, until it is closed. */
async function poll(
  origin: string,
  cookie: string,
  firstMs: number,
  signal: AbortSignal,
  statuses: Record<number, number>,
): Promise<void> {
  const etags = new Map<string, string>()
  let waitMs = firstMs
  while (!signal.aborted) {
    await delay(waitMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    for (const page of PAGES) {
      const etag = etags.get(page)
      const response = await fetch(origin + page, {
        headers: {
          cookie,
          'hx-request': 'true',
          ...(etag === undefined ? {} : { 'if-none-match': etag }),
        },
      })
      await response.arrayBuffer()
      statuses[response.status] = (statuses[response.status] ?? 0) + 1
      etags.set(page, response.headers.get('etag') ?? '')
    }
    waitMs = POLL_MS
  }
}
