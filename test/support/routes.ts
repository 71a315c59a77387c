import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import { openapiDocuments } from '../../src/cli/project/openapi-documents.ts'

/** Returns the registered routes of the listener that has the route `has`. */
export async function routesOf(): Promise<(has: string) => string[]> {
  const instances: string[][] = []
  const onInstance = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance }
    const routes: string[] = []
    instances.push(routes)
    fastify.addHook('onRoute', ({ method, url }) => {
      for (const each of [method].flat()) routes.push(`${each} ${url}`)
    })
  }
  subscribe('fastify.initialization', onInstance)
  await openapiDocuments()
  unsubscribe('fastify.initialization', onInstance)
  return (has) => instances.find((routes) => routes.includes(has)) ?? []
}

/** Returns whether a route, such as `GET /console`, is a page of the console. */
export function isConsole(route: string): boolean {
  return /^\w+ \/console(?:$|\/)/.test(route)
}
