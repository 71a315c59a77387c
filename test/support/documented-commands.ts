import packageJson from '../../package.json' with { type: 'json' }
import { buildProgram } from '../../src/cli/program.ts'

interface CliCommand {
  name(): string
  commands: readonly CliCommand[]
  options: readonly { long?: string | null | undefined }[]
}

/** A command with an action: its full name and its options. */
function commandsOf(command: CliCommand, parents: string[] = []): [string, string[]][] {
  return command.commands.flatMap((each) => {
    const path = [...parents, each.name()]
    const options = each.options.map(({ long }) => long ?? '')
    return each.commands.length > 0 ? commandsOf(each, path) : [[path.join(' '), options]]
  })
}

/** All commands of `amo-broker` by their full names, with their long options. */
export const commands: ReadonlyMap<string, string[]> = new Map(
  commandsOf(await buildProgram(() => true)),
)

/** Returns the error in a command line of the documentation, or undefined. */
export function wrongCommand(line: string): string | undefined {
  const [, script] = /\bnpm (?:run )?(?:--?\S+ )*(start|test|(?<=run .*)[a-z:]+)/.exec(line) ?? []
  if (script !== undefined && !(script in packageJson.scripts)) return `no npm script ${script}`
  const [, rest] = /\bamo-broker (.+)/.exec(line) ?? []
  if (rest === undefined || rest === '…' || rest.startsWith('--')) return undefined
  const words =
    rest
      .split(/[|>&;]/, 1)[0]
      ?.trim()
      .split(/\s+/) ?? []
  const found = [words.slice(0, 2).join(' '), words[0] ?? ''].find((name) => commands.has(name))
  if (found === undefined) return `no command ${rest}`
  const options = words.filter((word) => word.startsWith('--'))
  const unknown = options.find((option) => !commands.get(found)?.includes(option))
  return unknown === undefined ? undefined : `${found} has no ${unknown}`
}
