import { readFileSync } from 'node:fs'

/** Settings that hold a secret, or a URL with a password. */
const SECRET = /(_URL|_SECRET|_KEYS?)$/
/** Settings that match although a browser shows them, or that name a file already. */
const NO_SECRET = new Set(['PUBLIC_URL', 'CONSOLE_URL', 'INTERNAL_TLS_KEY'])
const SUFFIX = '_FILE'

/** Returns the settings whose value may come from the file that `<setting>_FILE` names. */
function secretSettings(names: string[]): string[] {
  return names.filter((name) => SECRET.test(name) && !NO_SECRET.has(name))
}

/**
 * Reads the settings that a container platform mounts as files: `OPERATOR_KEY_FILE` names the file
 * of `OPERATOR_KEY`. One line break at the end is removed. Adds a problem for a setting that is
 * given both ways, and for a file that cannot be read.
 */
export function readSecretFiles(
  variables: NodeJS.ProcessEnv,
  names: string[],
  problems: string[],
): NodeJS.ProcessEnv {
  const read = { ...variables }
  for (const name of secretSettings(names)) {
    const file = variables[name + SUFFIX]?.trim()
    if (!file) continue
    if (variables[name]) {
      problems.push(`${name} and ${name}${SUFFIX} are both set: remove one of them`)
      continue
    }
    try {
      read[name] = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
      if (!read[name]) problems.push(`${name}${SUFFIX} names an empty file`)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      problems.push(`${name}${SUFFIX} names a file that cannot be read: ${code}`)
    }
  }
  return read
}

/** Returns the names `<setting>_FILE`. */
export function fileSettings(names: string[]): string[] {
  return secretSettings(names).map((name) => name + SUFFIX)
}
