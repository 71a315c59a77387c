import { readFile, writeFile } from 'node:fs/promises'
import type { Command } from '@commander-js/extra-typings'
import { JSON_FLAG } from '../common/options.ts'
import { printJson } from '../common/output.ts'

const FOLDER = new URL('../../../openapi/', import.meta.url)

/** Defines `openapi`. */
export function defineOpenapi(command: Command): void {
  command
    .option('--check', 'compare with the files instead of writing them')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Writes openapi/openapi.json (internal listener) and openapi/openapi-public.json.

Exit codes: 0 written, or up to date; 1 with --check, a file is outdated.

Example:
  $ amo-broker openapi --check`,
    )
    .action(async ({ check, json }) => {
      const files = check ? await compareDocuments() : await writeDocuments()
      const outdated = files.filter(({ state }) => state === 'outdated')
      if (outdated.length > 0) process.exitCode = 1
      if (json) return printJson({ files })
      for (const { file } of outdated) {
        console.error(`${file} is outdated: run amo-broker openapi`)
      }
    })
}

interface Document {
  file: string
  state: 'written' | 'current' | 'outdated'
}

async function writeDocuments(): Promise<Document[]> {
  const { openapiDocuments } = await import('./openapi-documents.ts')
  const documents = Object.entries(await openapiDocuments())
  await Promise.all(documents.map(([name, text]) => writeFile(new URL(name, FOLDER), text)))
  return documents.map(([name]) => ({ file: `openapi/${name}`, state: 'written' }))
}

async function compareDocuments(): Promise<Document[]> {
  const { openapiDocuments } = await import('./openapi-documents.ts')
  const documents = Object.entries(await openapiDocuments())
  return Promise.all(
    documents.map(async ([name, text]): Promise<Document> => {
      const stored = await readFile(new URL(name, FOLDER), 'utf8').catch(() => '')
      return { file: `openapi/${name}`, state: stored === text ? 'current' : 'outdated' }
    }),
  )
}
