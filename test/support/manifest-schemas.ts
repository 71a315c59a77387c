import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Manifest } from './kustomize.ts'

const ROOT = join(import.meta.dirname, '../..')
const OPERATOR = 'monitoring.coreos.com'

/**
 * Validates manifests with the schemas of the Kubernetes API and of the Prometheus Operator.
 *
 * @returns one line for each problem
 */
export async function validateManifests(manifests: Manifest[]): Promise<string[]> {
  const problems: string[] = []
  for (const manifest of manifests) {
    const { [manifest.kind]: Model } = await import(moduleOf(manifest))
    try {
      new Model(manifest).validate()
    } catch (error) {
      problems.push(`${manifest.kind} ${manifest.metadata.name}: ${(error as Error).message}`)
    }
  }
  return [...problems, ...checkTypes(manifests)]
}

/**
 * Finds misspelt fields, which the schemas allow: TypeScript refuses unknown members of an object
 * literal.
 */
function checkTypes(manifests: Manifest[]): string[] {
  const folder = join(ROOT, 'node_modules/.cache/amo-manifests', String(process.pid))
  mkdirSync(folder, { recursive: true })
  try {
    const file = join(folder, 'manifests.ts')
    const lines = manifests.map(
      (manifest, index) =>
        `import type { I${manifest.kind} as T${index} } from '${moduleOf(manifest)}'\n` +
        `export const m${index}: T${index} = ${JSON.stringify(manifest, null, 1)}`,
    )
    writeFileSync(file, lines.join('\n'))
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--ignoreConfig', '--types', 'node']
    const modules = ['--module', 'nodenext', '--target', 'esnext']
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
    const checked = spawnSync(process.execPath, [tsc, ...options, ...modules, file], {
      encoding: 'utf8',
    })
    if (checked.status === 0) return []
    return (checked.stdout.trim() || checked.stderr || `${checked.error}`).trim().split('\n')
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function moduleOf({ apiVersion, kind }: Manifest): string {
  const models = apiVersion.startsWith(OPERATOR)
    ? '@kubernetes-models/prometheus-operator'
    : 'kubernetes-models'
  return `${models}/${apiVersion}/${kind}`
}
