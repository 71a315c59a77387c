/**
 * Where the escrow lies: a second place outside of the database. It holds numbered segments, each a
 * list of lines. Only one replica at a time appends. Every method throws when the place fails.
 */
export interface EscrowPlace {
  /** For logs and reports. Holds no password. */
  readonly title: string
  /** Returns the numbers of the segments, in ascending order. */
  segments(): Promise<number[]>
  /** Appends lines. Resolves when they survive a power loss of this machine. */
  append(segment: number, firstLine: number, lines: readonly string[]): Promise<void>
  /** Reads the lines of a segment in their order. The last one may be cut off. */
  read(segment: number): AsyncIterable<string>
  remove(segment: number): Promise<void>
  close(): Promise<void>
}
