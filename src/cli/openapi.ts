import { readFile, writeFile } from 'node:fs/promises'
import { openapiDocuments } from './openapi-documents.ts'

const FOLDER = new URL('../../openapi/', import.meta.url)

/** Writes `openapi/*.json`; as a check compares them instead, with exit code 1 when they are stale. */
export async function writeDocuments(isCheck: boolean): Promise<void> {
  for (const [name, document] of Object.entries(await openapiDocuments())) {
    const file = new URL(name, FOLDER)
    if (!isCheck) await writeFile(file, document)
    else if ((await readFile(file, 'utf8').catch(() => '')) !== document) {
      console.error(`openapi/${name} is stale: run npm run openapi`)
      process.exitCode = 1
    }
  }
}
