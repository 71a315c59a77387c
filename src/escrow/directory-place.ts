import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { EscrowPlace } from './place.ts'

const NAME = /^segment-(\d{12})\.jsonl$/

/** Opens an escrow in a directory, such as a mounted volume. Creates the directory. */
export async function openDirectory(folder: string): Promise<EscrowPlace> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const fileOf = (segment: number) =>
    join(folder, `segment-${String(segment).padStart(12, '0')}.jsonl`)
  return {
    title: folder,
    async segments() {
      const numbers = (await readdir(folder)).map((name) => Number(NAME.exec(name)?.[1] ?? 0))
      return numbers.filter((number) => number > 0).sort((left, right) => left - right)
    },
    async append(segment, firstLine, lines) {
      await using file = await open(fileOf(segment), 'a', 0o600)
      await file.writeFile(`${lines.join('\n')}\n`)
      await file.datasync()
      if (firstLine > 0) return
      // Without this, the name of a new file is not on disk.
      await using parent = await open(folder, 'r')
      await parent.sync()
    },
    read: (segment) =>
      createInterface({ input: createReadStream(fileOf(segment)), crlfDelay: Infinity }),
    remove: (segment) => unlink(fileOf(segment)),
    async close() {},
  }
}
