export interface Edit {
  file: string
  /** Must be found exactly once. Otherwise the guard has moved and the mutation is stale. */
  find: string
  replace: string
}

export interface TestFile {
  file: string
  /** Runs only the tests whose titles match (tap's --grep). */
  only?: RegExp
}

/** A guard that is removed on purpose, and the tests that must fail without it. */
export interface Mutation {
  guard: string
  edits: Edit[]
  tests: TestFile[]
}

/** Returns the source without the guard. Throws when its text is not found exactly once. */
export function applyEdit(source: string, { file, find, replace }: Edit): string {
  const parts = source.split(find)
  if (parts.length !== 2) throw new Error(`${file}: found ${parts.length - 1} times: ${find}`)
  return parts.join(replace)
}
