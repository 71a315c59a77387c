import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..')
const SOURCE = join(ROOT, 'src')
const STATEMENT =
  /^(?:import|export)\b[^'"`;]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm

export interface SourceFile {
  /** Path below `src`, for example `refresh/send.ts`. */
  path: string
  text: string
  /** Files below `src` that it imports, types included. */
  imports: string[]
  /** Packages that it imports, types included. */
  packages: string[]
}

/** Reads every source file below `src` with its static and dynamic imports. */
export function readSourceFiles(): SourceFile[] {
  return globSync('**/*.ts', { cwd: SOURCE })
    .sort()
    .map((path) => parseSourceFile(path, readFileSync(join(SOURCE, path), 'utf8')))
}

/** Returns the imports of a source file at `path` below `src`. */
export function parseSourceFile(path: string, text: string): SourceFile {
  const specifiers = [...text.matchAll(STATEMENT)].map(
    ([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? '',
  )
  const isLocal = (specifier: string) => specifier.startsWith('.')
  return {
    path,
    text,
    imports: specifiers
      .filter(isLocal)
      .map((specifier) => relative(SOURCE, join(SOURCE, dirname(path), specifier))),
    packages: specifiers.filter((specifier) => !isLocal(specifier)),
  }
}

/** Returns the room of a file: its folder directly below `src`, or the file itself at the top. */
export function roomOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : path
}

/** An import from one room into another. */
export interface RoomImport {
  from: string
  to: string
  /** For the message: `a/b.ts -> c/d.ts`. */
  example: string
}

export function roomImports(files: SourceFile[]): RoomImport[] {
  return files.flatMap(({ path, imports }) =>
    imports
      .filter((target) => roomOf(target) !== roomOf(path))
      .map((target) => ({
        from: roomOf(path),
        to: roomOf(target),
        example: `${path} -> ${target}`,
      })),
  )
}

/**
 * Returns one circle of rooms as the imports that close it, or an empty list when the rooms can be
 * ordered so that every import points downwards.
 */
export function findCircle(imports: RoomImport[]): string[] {
  const done = new Set<string>()
  const visit = (room: string, path: RoomImport[]): string[] => {
    const start = path.findIndex(({ from }) => from === room)
    if (start >= 0) return path.slice(start).map(({ example }) => example)
    if (done.has(room)) return []
    for (const next of imports.filter(({ from }) => from === room)) {
      const circle = visit(next.to, [...path, next])
      if (circle.length > 0) return circle
    }
    done.add(room)
    return []
  }
  for (const { from } of imports) {
    const circle = visit(from, [])
    if (circle.length > 0) return circle
  }
  return []
}
