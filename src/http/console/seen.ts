import { hash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { type Html, html } from '../../lib/html.ts'

const FIELD = 'seen'
const MARK_CHARACTERS = 16

/**
 * Returns a hidden field with a mark of the state that a page shows. `hasMoved` compares it, so
 * that nobody acts on what somebody else has changed meanwhile.
 */
export function seenFields(state: unknown): Record<string, string> {
  return { [FIELD]: markOf(state) }
}

/** Returns whether a form was sent from a page that showed another state than the present one. */
export function hasMoved(request: FastifyRequest, stateNow: unknown): boolean {
  const { body } = request
  const seen: unknown =
    typeof body === 'object' && body !== null ? Reflect.get(body, FIELD) : undefined
  return seen !== undefined && seen !== markOf(stateNow)
}

/** Returns the message of a page whose state has moved. `by`: who did what. */
export function movedNote(by?: string): Html {
  return html`<div class="band warn" role="alert"><b>This has changed since you opened the page, so nothing was done.</b>
<div>${by === undefined ? 'The page shows it as it is now.' : `${by} The page shows it as it is now.`}</div></div>`
}

function markOf(state: unknown): string {
  return hash('sha256', JSON.stringify(state), 'base64url').slice(0, MARK_CHARACTERS)
}
