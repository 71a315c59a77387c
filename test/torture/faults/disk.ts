import { setTimeout as delay } from 'node:timers/promises'
import type { Harness } from '../harness.ts'
import { between, type Fault, pick, type Random } from './fault.ts'
import { untilHealthy } from './healthy.ts'

export const diskFaults: Fault[] = [
  {
    name: 'disk_full',
    async inject(harness: Harness, random: Random) {
      const replica = pick(harness.replicas, random)
      const { disk } = replica
      if (disk === undefined) return
      const incident = harness.incidents.begin('disk_full')
      await disk.fill()
      await delay(between(2_000, 6_000, random))
      await disk.clear()
      const tookMs = await untilHealthy(harness, /^journal:/)
      harness.incidents.end(incident, tookMs === undefined ? 'NOT RECOVERED' : 'healthy', tookMs)
    },
  },
]
