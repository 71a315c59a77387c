import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'

export interface Manifest {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels?: Record<string, string> }
  // biome-ignore lint/suspicious/noExplicitAny: tests read what the files have
  [part: string]: any
}

interface Kustomization {
  apiVersion: string
  kind: string
  resources: string[]
  namespace?: string
  images?: { name: string; newName: string; newTag: string }[]
  patches?: { target: { kind: string; name: string }; patch: string }[]
}

interface Operation {
  op: 'replace' | 'remove'
  path: string
  value?: unknown
}

const KNOWN = ['apiVersion', 'kind', 'resources', 'namespace', 'images', 'patches']

/**
 * Builds a folder as `kubectl kustomize` does, as far as the files here use it. Throws on a field
 * that it does not know. A test compares the two.
 */
export function buildKustomization(folder: string): Manifest[] {
  const read = parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8')) as Kustomization
  for (const key of Object.keys(read)) if (!KNOWN.includes(key)) throw new Error(`unknown: ${key}`)
  const manifests = read.resources.flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? buildKustomization(path) : readManifests(path)
  })
  for (const manifest of manifests) {
    if (read.namespace !== undefined) manifest.metadata.namespace = read.namespace
    const pod = manifest.kind === 'Pod' ? manifest.spec : manifest.spec?.template?.spec
    for (const container of pod?.containers ?? []) {
      const image = read.images?.find(({ name }) => name === container.image)
      if (image !== undefined) container.image = `${image.newName}:${image.newTag}`
    }
  }
  for (const { target, patch } of read.patches ?? []) {
    const found = manifests.find(
      ({ kind, metadata }) => kind === target.kind && metadata.name === target.name,
    )
    if (found === undefined) throw new Error(`nothing to patch: ${target.kind} ${target.name}`)
    for (const operation of parse(patch) as Operation[]) apply(found, operation)
  }
  return manifests
}

/** @returns what `kubectl kustomize` builds, or undefined without a kubectl that is new enough */
export function buildWithKubectl(folder: string): Manifest[] | undefined {
  const { stdout, status } = spawnSync('kubectl', ['version', '--client'], { encoding: 'utf8' })
  if (status !== 0 || !/^Kustomize Version: v[5-9]/m.test(stdout)) return undefined
  const built = spawnSync('kubectl', ['kustomize', folder], { encoding: 'utf8' })
  if (built.status !== 0) throw new Error(built.stderr)
  return documentsOf(built.stdout)
}

function readManifests(path: string): Manifest[] {
  return documentsOf(readFileSync(path, 'utf8'))
}

function documentsOf(text: string): Manifest[] {
  return [...parseAllDocuments(text)].map((document) => {
    if (document.errors[0] !== undefined) throw document.errors[0]
    return document.toJS() as Manifest
  })
}

/** An operation of RFC 6902. Throws if the place does not exist, as kustomize does. */
function apply(manifest: Manifest, { op, path, value }: Operation): void {
  const parts = path.split('/').slice(1)
  const last = parts.pop() ?? ''
  // biome-ignore lint/suspicious/noExplicitAny: a path leads anywhere in the document
  const parent = parts.reduce<any>((each, part) => each?.[part], manifest)
  if (parent?.[last] === undefined) throw new Error(`no such place: ${path}`)
  if (op === 'remove') delete parent[last]
  else parent[last] = value
}
