import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { STYLESHEET } from '../../lib/stylesheet.ts'

const OWN = join(import.meta.dirname, 'assets')
const HTMX = join(dirname(fileURLToPath(import.meta.resolve('htmx.org'))), 'htmx.min.js')

/** Files of the console, and the stylesheet, which is part of the code. */
const FILES = {
  'htmx.js': { type: 'text/javascript', text: readFileSync(HTMX, 'utf8') },
  'console.js': { type: 'text/javascript', text: readFileSync(join(OWN, 'console.js'), 'utf8') },
  'icon.svg': { type: 'image/svg+xml', text: readFileSync(join(OWN, 'icon.svg'), 'utf8') },
  'style.css': { type: 'text/css', text: STYLESHEET },
}

const VERSION_CHARACTERS = 16
const versions = Object.fromEntries(
  Object.entries(FILES).map(([name, { text }]) => [
    name,
    hash('sha256', text, 'hex').slice(0, VERSION_CHARACTERS),
  ]),
)

/** Returns the address of a file. It changes with the content, so browsers may keep the file. */
export function assetUrl(name: keyof typeof FILES): string {
  return `/console/assets/${name}?v=${versions[name]}`
}

/** Serves the files of the console to everybody. */
export async function assetRoutes(app: FastifyInstance): Promise<void> {
  for (const [name, { type, text }] of Object.entries(FILES)) {
    const etag = `"${versions[name]}"`
    app.get<{ Querystring: { v?: string } }>(`/console/assets/${name}`, {
      schema: { hide: true },
      config: { isOpen: true },
      handler: (request, reply) => {
        // During an update another replica may have made the page.
        const isKept = request.query.v === versions[name]
        reply.header(
          'cache-control',
          isKept ? 'public, max-age=31536000, immutable' : 'public, no-cache',
        )
        reply.header('etag', etag)
        if (request.headers['if-none-match'] === etag) return reply.code(304).send()
        return reply.type(`${type}; charset=utf-8`).send(text)
      },
    })
  }
}
