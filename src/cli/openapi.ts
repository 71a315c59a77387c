import { readFile, writeFile } from 'node:fs/promises'
import { openapiDocuments } from './openapi-documents.ts'

const FOLDER = new URL('../../openapi/', import.meta.url)

/** Writes `openapi/*.json`; with `--check` compares them instead, and fails when they are stale. */
const isCheck = process.argv.includes('--check')
for (const [name, document] of Object.entries(await openapiDocuments())) {
  const file = new URL(name, FOLDER)
  if (!isCheck) await writeFile(file, document)
  else if ((await readFile(file, 'utf8').catch(() => '')) !== document) {
    console.error(`openapi/${name} is stale: run npm run openapi`)
    process.exitCode = 1
  }
}
