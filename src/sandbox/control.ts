import type { FastifyInstance } from 'fastify'
import { controlCalls } from './control-calls.ts'
import { controlFaults } from './control-faults.ts'
import { indexPage } from './control-page.ts'
import { controlScenarios } from './control-scenarios.ts'
import { controlWorld } from './control-world.ts'
import type { World } from './world.ts'

/** Registers `/__sandbox/*`: the actions that the real provider has no call for. */
export async function control(app: FastifyInstance, { world }: { world: World }) {
  await app.register(controlWorld, { world })
  await app.register(controlCalls, { world })
  await app.register(controlFaults, { world })
  await app.register(controlScenarios, { world })

  app.get('/', async (_request, reply) => {
    return reply.type('text/html; charset=utf-8').send(indexPage(world))
  })
}
