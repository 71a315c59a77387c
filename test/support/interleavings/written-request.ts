import type { CallResponse } from '../../../src/provider/call.ts'
import type { Actor, Move } from './actor.ts'

/**
 * A request that was written. `answer` is set after it was processed. The client may be gone by
 * then.
 */
export interface WrittenRequest {
  actor: Actor
  name: string
  token: string
  isGone: boolean
  send: number | undefined
  askedAtMs: number
  answer: CallResponse | undefined
  end(answer: CallResponse): void
  fail(code: string): void
}

/** Lists the moves of a response that is on its way. */
export function answerMoves(request: WrittenRequest, answer: CallResponse): Move[] {
  const deliver = (body: string): CallResponse => ({ ...answer, body, isWhole: false })
  const lose = () => {
    request.end({ ...answer, status: 502, contentType: 'text/html', body: '<h1>502</h1>' })
  }
  return [
    { name: 'answered', weight: 10, make: () => request.end(answer) },
    { name: '502 instead of the answer', weight: 1, fault: 'network', make: lose },
    {
      name: 'answer cut in half',
      weight: 1,
      fault: 'network',
      make: () => request.end(deliver(answer.body.slice(0, answer.body.length / 2))),
    },
    {
      name: 'answer without its end',
      weight: 1,
      fault: 'network',
      make: () => request.end(deliver(answer.body.slice(0, -1))),
    },
  ]
}
