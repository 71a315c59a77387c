import type { TestBroker } from './broker.ts'

/** A scrape of `/metrics`. */
export interface Scrape {
  text: string
  /**
   * Returns the value of a series. `series` is the name with its labels as they are printed.
   * @returns undefined when there is no such series
   */
  value(series: string): number | undefined
  /** Names of the metrics by their type. */
  types: ReadonlyMap<string, string>
  help: ReadonlyMap<string, string>
}

/** Scrapes a broker, without a key unless headers are given. */
export async function scrape(
  { url }: Pick<TestBroker, 'url'>,
  headers: Record<string, string> = {},
): Promise<Scrape> {
  const text = await (await fetch(`${url}/metrics`, { headers })).text()
  const lines = text.split('\n')
  const values = new Map<string, number>()
  for (const line of lines.filter((each) => each !== '' && !each.startsWith('#'))) {
    const end = line.lastIndexOf(' ')
    values.set(line.slice(0, end), Number(line.slice(end + 1)))
  }
  return {
    text,
    value: (series) => values.get(series),
    types: comments(lines, 'TYPE'),
    help: comments(lines, 'HELP'),
  }
}

function comments(lines: string[], kind: 'TYPE' | 'HELP'): Map<string, string> {
  const start = `# ${kind} `
  return new Map(
    lines
      .filter((line) => line.startsWith(start))
      .map((line) => {
        const [name = '', ...rest] = line.slice(start.length).split(' ')
        return [name, rest.join(' ')]
      }),
  )
}
