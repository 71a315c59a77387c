import { equalInConstantTime, type KeyedHash } from '../vault/keyed-hash.ts'

/**
 * Keyed hashes in the addresses of public pages. A page opens only for somebody whom the broker
 * itself has led there.
 */
export class PageMarks {
  readonly #states: KeyedHash

  constructor(states: KeyedHash) {
    this.#states = states
  }

  /** Makes the mark of a page that shows a refusal, so that nobody else can lead to the page. */
  ofProblem(code: string, linkId: string | undefined): string {
    return this.#states.of(`problem.${code}.${linkId ?? ''}`)
  }

  isOfProblem(mark: string, code: string, linkId: string | undefined): boolean {
    return equalInConstantTime(mark, this.ofProblem(code, linkId))
  }

  /**
   * Makes the mark of an address that opens a link once more. Only pages to which the link has led
   * show it.
   */
  ofRetry(linkId: string): string {
    return this.#states.of(`retry.${linkId}`)
  }

  isOfRetry(mark: string, linkId: string): boolean {
    return equalInConstantTime(mark, this.ofRetry(linkId))
  }
}
