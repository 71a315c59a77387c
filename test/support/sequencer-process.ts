// Gives events their positions, as a replica does, until it is killed. See
// test/event-kills.test.ts.
import { setTimeout as delay } from 'node:timers/promises'
import { Counter } from '@prometheus-io/client'
import { pino } from 'pino'
import { openPostgres } from '../../src/db/postgres.ts'
import { Sequencer } from '../../src/events/sequencer.ts'
import { Secret } from '../../src/vault/secret.ts'

const PAUSE_MS = 5

const url = new Secret(process.env.DATABASE_URL ?? '')
const database = openPostgres(url, url, pino({ level: 'silent' }))
const labels = { labelNames: ['type'] as const, registers: [] }
const sequencer = new Sequencer(
  database,
  new Counter({ name: 'events', help: 'events', ...labels }),
)
for (;;) {
  await sequencer.run()
  process.stdout.write('.')
  await delay(PAUSE_MS)
}
