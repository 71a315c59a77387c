import type { FastifyInstance } from 'fastify'
import { controlCalls } from './control-calls.ts'
import { controlFaults } from './control-faults.ts'
import { indexPage } from './control-page.ts'
import { controlWorld } from './control-world.ts'
import type { World } from './world.ts'

/** `/__sandbox/*`: everything that the real provider has no call for. */
export async function control(app: FastifyInstance, { world }: { world: World }) {
  await app.register(controlWorld, { world })
  await app.register(controlCalls, { world })
  await app.register(controlFaults, { world })

  app.get('/', async (_request, reply) => {
    return reply.type('text/html; charset=utf-8').send(indexPage(world))
  })
}
